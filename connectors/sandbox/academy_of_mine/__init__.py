"""An Academy of Mine school that runs here: people, enrollments, portals and orders in the bodies of its reference.

Source: seed 004. The addresses are the connector's assumed ones. Assumed too, as the reference prints none of it: error
texts, what "Retrieve Users" answers, the access status of somebody whose access was revoked, what an order is made of,
and the headers that name a limit.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar

from aiohttp import web

from bridge.kit.sandbox import Emulator, Holding
from connectors.sandbox.academy_of_mine.access import Access
from connectors.sandbox.academy_of_mine.people import People
from connectors.sandbox.academy_of_mine.shop import Shop
from connectors.sandbox.academy_of_mine.state import Answers, Enrollment, Order, Portal, User, message

KEY = "sandbox-academy-key"


class AcademyOfMine(Emulator):
    """Holds users by id with unique e-mail addresses, enrollments and orders by id, and one membership a person.

    ``courses``, ``learning_paths``, ``memberships``, ``products`` and ``portals`` are what exists; ``drafts`` are courses
    that are not published. ``largest_page`` is the most rows of one page. ``header`` is what carries the key.
    ``limit`` is so many requests in so many seconds. ``shows_notes`` is whether a read of an order shows them.
    """

    credentials: ClassVar[Mapping[str, Any]] = {"api_key": KEY}

    def __init__(self) -> None:
        """Start without users."""
        super().__init__()
        self.courses = set(range(1, 100))
        self.learning_paths = set(range(1, 100))
        self.memberships = set(range(1, 100))
        self.products = set(range(1, 100))
        self.portals = {5: Portal()}
        self.drafts: set[int] = set()
        self.blocked_domains: set[str] = set()
        self.seats_taken: list[tuple[int, int]] = []
        self.largest_page = 50
        self.header = ("Authorization", f"Bearer {KEY}")
        self.prefix = "/api/v1"
        self.limit: tuple[int, float] | None = None
        self.shows_notes = True
        self.users: dict[int, User] = {}
        self.enrollments: dict[int, Enrollment] = {}
        self.orders: dict[int, Order] = {}
        self._last_user = 500
        self._last_enrollment = 9000
        self._last_order = 30
        self._served: list[float] = []

    def accommodate(self, settings: Any, courses: Sequence[Any]) -> None:
        """Have the courses, paths, memberships, products and the portal."""
        for table in courses:
            for name, there in (
                ("course_id", self.courses),
                ("learning_path_id", self.learning_paths),
                ("membership_id", self.memberships),
            ):
                if (number := getattr(table, name)) is not None:
                    there.add(int(number))
        self.products |= set(settings.orders.products.values())
        if settings.portal_id is not None:
            self.portals.setdefault(int(settings.portal_id), Portal())

    def routes(self) -> Sequence[web.RouteDef]:
        """Return the addresses; the fixed ones before those with an id."""
        table = [*self._of_people(), *self._of_courses(), *self._of_the_shop()]
        return [web.route(method, self.prefix + path, self._guarded(answers)) for method, path, answers in table]

    def _of_people(self) -> list[tuple[str, str, Answers]]:
        people, access = People(self), Access(self)
        return [
            ("GET", "/users/lookup", people.search),
            ("GET", "/users/enrolled-courses", access.courses_of),
            ("POST", "/users/resend-new-account-email", people.resend),
            ("POST", "/users/quick-edit", people.edit),
            ("POST", "/users", people.create),
            ("GET", "/users/{id}", people.read),
            ("PUT", "/users/{id}", people.update),
            ("POST", "/users/{id}/membership", people.give_membership),
            ("GET", "/memberships", access.listing("membership")),
            ("GET", "/portals/details", people.portal),
            ("POST", "/portals/add-learners", people.join),
        ]

    def _of_courses(self) -> list[tuple[str, str, Answers]]:
        access = Access(self)
        return [
            ("GET", "/courses", access.listing("course")),
            ("POST", "/courses/{id}/enroll", access.enroll_in("course")),
            ("POST", "/courses/{id}/remove-learners", access.remove_from("course")),
            ("POST", "/courses/{id}/revoke-access", access.access(allowed=False)),
            ("POST", "/courses/{id}/grant-access", access.access(allowed=True)),
            ("POST", "/courses/{id}/set-expiry", access.set_expiry),
            ("POST", "/courses/{id}/reset-progress", access.reset),
            ("GET", "/learning-paths", access.listing("learning_path")),
            ("GET", "/learning-paths/enrolled-students", access.students_of),
            ("POST", "/learning-paths/{id}/enroll", access.enroll_in("learning_path")),
            ("POST", "/learning-paths/{id}/remove-learners", access.remove_from("learning_path")),
        ]

    def _of_the_shop(self) -> list[tuple[str, str, Answers]]:
        shop, access = Shop(self), Access(self)
        return [
            ("GET", "/products", access.listing("product")),
            ("GET", "/orders", shop.listed),
            ("GET", "/orders/details", shop.read),
            ("POST", "/orders", shop.create),
            ("POST", "/orders/refund", shop.refund),
            ("POST", "/orders/{id}/status", shop.set_status),
        ]

    def holdings(self) -> list[Holding]:
        """Return every enrollment and every membership ever given; live is what gives access now."""
        held = [
            Holding(
                "enrollment",
                self.users[row.user].email,
                f"{row.kind}:{row.of}",
                str(row.id),
                row.allowed and not row.expired,
            )
            for row in self.enrollments.values()
        ]
        for user in self.users.values():
            for number, until in user.memberships.items():
                live = user.membership == number and (until is None or until > datetime.now(UTC))
                held.append(Holding("enrollment", user.email, f"membership:{number}", str(number), live))
        return held

    def add_user(self, email: str, first_name: str = "Some", last_name: str = "Body") -> User:
        """Make an account, as the school's staff would."""
        self._last_user += 1
        user = self.users[self._last_user] = User(self._last_user, first_name, last_name, email, 0)
        return user

    def add_enrollment(self, user: User, of: int, kind: str = "course") -> Enrollment:
        """Enroll somebody, as the school's staff would."""
        self._last_enrollment += 1
        row = self.enrollments[self._last_enrollment] = Enrollment(self._last_enrollment, kind, of, user.id)
        return row

    def add_order(self, user: int, status: str, items: list[dict[str, Any]]) -> Order:
        """Make an order, as the school's shop would."""
        self._last_order += 1
        order = self.orders[self._last_order] = Order(self._last_order, user, status, items, [])
        return order

    def user(self, number: object) -> User | None:
        """Return the account with this id."""
        return self.users.get(int(str(number))) if str(number).isdecimal() else None

    def catalogue(self, kind: str) -> set[int]:
        """Return the ids of everything of a kind."""
        return {
            "course": self.courses,
            "learning_path": self.learning_paths,
            "membership": self.memberships,
            "product": self.products,
        }[kind]

    def _guarded(self, answers: Answers) -> Answers:
        async def guarded(request: web.Request) -> web.Response:
            headers = self._counted()
            if headers.get("Retry-After"):
                answer = message(429, "Too Many Attempts.")
            elif request.headers.get(self.header[0]) != self.header[1]:
                answer = message(401, "Unauthenticated.")
            else:
                answer = await answers(request)
            answer.headers.update(headers)
            return answer

        return guarded

    def _counted(self) -> dict[str, str]:
        """Count one request against the limit, and return the headers that tell of it."""
        if self.limit is None:
            return {}
        most, seconds = self.limit
        now = time.monotonic()
        self._served = [at for at in self._served if at > now - seconds]
        if len(self._served) >= most:
            return {"Retry-After": str(int(seconds)), "X-RateLimit-Limit": str(most), "X-RateLimit-Remaining": "0"}
        self._served.append(now)
        return {"X-RateLimit-Limit": str(most), "X-RateLimit-Remaining": str(most - len(self._served))}


EMULATOR: type[Emulator] = AcademyOfMine
