"""An Academy of Mine school that runs here: users, enrollments and memberships in the bodies of the vendor's reference.

Source: seed 004. The addresses are the connector's assumed ones. Assumed too, as the reference prints none of it: error
texts, what "Retrieve Users" answers, and the access status of somebody whose access was revoked.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar

import orjson
from aiohttp import web

from bridge.kit.sandbox import Emulator, Holding

KEY = "sandbox-academy-key"
_DATE = "%Y-%m-%d %H:%M:%S"
_Answers = Callable[[web.Request], Awaitable[web.Response]]


@dataclass(slots=True)
class User:
    """One account; ``memberships`` has the end of each one ever given, None being without end."""

    id: int
    first_name: str
    last_name: str
    email: str
    password_length: int
    disabled: bool = False
    membership: int | None = None
    memberships: dict[int, datetime | None] = field(default_factory=dict)
    mails: int = 0


@dataclass(slots=True)
class Enrollment:
    """One person in one course or learning path (``kind``)."""

    id: int
    kind: str
    of: int
    user: int
    allowed: bool = True
    expires: datetime | None = None

    @property
    def expired(self) -> bool:
        """Whether its end is over."""
        return self.expires is not None and self.expires <= datetime.now(UTC)


class AcademyOfMine(Emulator):
    """Holds users by id with unique e-mail addresses, enrollments by id, and one membership a person.

    ``courses`` limits what can be enrolled in; None takes every id. ``largest_page`` is the most rows of one page.
    ``header`` is what carries the key.
    """

    credentials: ClassVar[Mapping[str, Any]] = {"api_key": KEY}

    def __init__(self) -> None:
        """Start without users."""
        super().__init__()
        self.courses: set[int] | None = None
        self.largest_page = 50
        self.header = ("Authorization", f"Bearer {KEY}")
        self.prefix = "/api/v1"
        self.users: dict[int, User] = {}
        self.enrollments: dict[int, Enrollment] = {}
        self._last_user = 500
        self._last_enrollment = 9000

    def routes(self) -> Sequence[web.RouteDef]:
        """Return the addresses; the fixed ones before those with an id."""
        users, courses, paths = (f"{self.prefix}/{name}" for name in ("users", "courses", "learning-paths"))
        table: list[tuple[str, str, _Answers]] = [
            ("GET", f"{users}/lookup", self._search),
            ("GET", f"{users}/enrolled-courses", self._enrolled_courses),
            ("POST", f"{users}/resend-new-account-email", self._resend),
            ("POST", users, self._create),
            ("GET", f"{users}/{{id}}", self._read),
            ("PUT", f"{users}/{{id}}", self._update),
            ("POST", f"{users}/{{id}}/membership", self._membership),
            ("GET", f"{paths}/enrolled-students", self._students),
            ("POST", f"{courses}/{{id}}/enroll", self._enroll_in("course")),
            ("POST", f"{paths}/{{id}}/enroll", self._enroll_in("learning_path")),
            ("POST", f"{courses}/{{id}}/remove-learners", self._remove_from("course")),
            ("POST", f"{paths}/{{id}}/remove-learners", self._remove_from("learning_path")),
            ("POST", f"{courses}/{{id}}/revoke-access", self._access(allowed=False)),
            ("POST", f"{courses}/{{id}}/grant-access", self._access(allowed=True)),
            ("POST", f"{courses}/{{id}}/set-expiry", self._set_expiry),
        ]
        return [web.route(method, path, self._authorised(answers)) for method, path, answers in table]

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

    def _authorised(self, answers: _Answers) -> _Answers:
        async def guarded(request: web.Request) -> web.Response:
            name, value = self.header
            if request.headers.get(name) != value:
                return _message(401, "Unauthenticated.")
            return await answers(request)

        return guarded

    async def _search(self, request: web.Request) -> web.Response:
        term = request.query.get("search_term", "").casefold()
        if not term:
            return _invalid(search_term="The search term field is required.")
        rows = [
            {"id": user.id, "first_name": user.first_name, "last_name": user.last_name, "email": user.email}
            for user in self.users.values()
            if term in f"{user.first_name} {user.last_name} {user.email}".casefold()
        ]
        return web.json_response(rows)

    async def _create(self, request: web.Request) -> web.Response:
        asked = request.query
        faults = {
            name: f"The {name} field is required."
            for name in ("firstName", "lastName", "email", "password")
            if not asked.get(name)
        }
        if not faults and len(asked["password"]) < 8:
            faults["password"] = "The password must be at least 8 characters."  # noqa: S105 - a message
        if not faults and self._by_email(asked["email"]):
            faults["email"] = "The email has already been taken."
        if faults:
            return _invalid(**faults)
        user = self.add_user(asked["email"], asked["firstName"], asked["lastName"])
        user.password_length = len(asked["password"])
        return web.json_response({"id": user.id, "message": "User created successfully"})

    async def _read(self, request: web.Request) -> web.Response:
        if (user := self._user(request.match_info["id"])) is None:
            return _not_found("User")
        number = user.membership
        until = None if number is None else user.memberships[number]
        return web.json_response(
            {
                "id": user.id,
                "firstName": user.first_name,
                "lastName": user.last_name,
                "lastLoggedIn": "Never",
                "disabled": user.disabled,
                "userType": "general",
                "membership": None
                if number is None
                else {"id": number, "name": f"Membership {number}", "expiryDate": until and until.strftime(_DATE)},
                "customUserMetas": {
                    "full_name": {
                        "type": "text",
                        "label": "Full Name",
                        "submitted_value": f"{user.first_name} {user.last_name}",
                    }
                },
                "internal_note": None,
            }
        )

    async def _update(self, request: web.Request) -> web.Response:
        if (user := self._user(request.match_info["id"])) is None:
            return _not_found("User")
        asked = request.query
        faults = {
            name: f"The {name} field is required."
            for name in ("id", "firstName", "lastName", "email", "disabled")
            if not asked.get(name)
        }
        if faults:
            return _invalid(**faults)
        if (other := self._by_email(asked["email"])) and other is not user:
            return _invalid(email="The email has already been taken.")
        user.first_name, user.last_name, user.email = asked["firstName"], asked["lastName"], asked["email"]
        user.disabled = asked["disabled"] in ("1", "true")
        return web.json_response({"message": "User updated successfully"})

    async def _membership(self, request: web.Request) -> web.Response:
        if (user := self._user(request.match_info["id"])) is None:
            return _not_found("User")
        body = orjson.loads(await request.read())
        until = body.get("expired_at")
        user.membership = int(body["id"])
        user.memberships[user.membership] = _moment(until) if until else None
        return web.Response()

    async def _resend(self, request: web.Request) -> web.Response:
        if not request.query.get("portalId"):
            return _invalid(portalId="The portalId field is required.")
        if user := self._user(request.query.get("user_id", "")):  # one that is not found is ignored, as documented
            user.mails += 1
        return web.json_response(
            {"status": "success", "message": "New Password is created and New Account Email Sent."}
        )

    async def _enrolled_courses(self, request: web.Request) -> web.Response:
        asked = request.query
        if missing := _missing(asked, "user_id", "page_size", "page_number", "portalId", "viewType", "manage_course"):
            return missing
        if (user := self._user(asked["user_id"])) is None:
            return _not_found("User")
        rows = [
            {
                "id": row.id,
                "courseId": row.of,
                "courseName": f"Course {row.of}",
                "status": "Not Started",
                "accessStatus": _status(row),
                "percentComplete": 0,
                "expire_on": row.expires.strftime("%d-%b-%Y") if row.expires else "Never",
                "isExpired": row.expired,
            }
            for row in self.enrollments.values()
            if row.kind == "course" and row.user == user.id
        ]
        return self._page(asked, rows, name=f"{user.first_name} {user.last_name}", userType="learner", isLearner=True)

    async def _students(self, request: web.Request) -> web.Response:
        asked = request.query
        if missing := _missing(asked, "learning_path_id", "portalId", "page_size", "page_number"):
            return missing
        narrow = str(orjson.loads(asked.get("search_param", "{}")).get("nameOrEmail", "")).casefold()
        rows = []
        for row in self.enrollments.values():
            user = self.users[row.user]
            if (row.kind, str(row.of)) != ("learning_path", asked["learning_path_id"]) or narrow not in (
                f"{user.first_name} {user.last_name} {user.email}".casefold()
            ):
                continue
            rows.append(
                {
                    "id": row.id,
                    "user_id": user.id,
                    "first_name": user.first_name,
                    "last_name": user.last_name,
                    "access_status": _status(row),
                    "expire_on": "Never",
                }
            )
        return self._page(asked, rows, learningPathName=f"Learning Path {asked['learning_path_id']}")

    def _page(self, asked: Mapping[str, str], rows: Sequence[Mapping[str, Any]], **more: Any) -> web.Response:
        size = min(int(asked["page_size"]), self.largest_page)
        first = (int(asked["page_number"]) - 1) * size
        return web.json_response(
            {"recordsTotal": len(rows), "recordsFiltered": len(rows), "records": rows[first : first + size], **more}
        )

    def _enroll_in(self, kind: str) -> _Answers:
        async def enroll(request: web.Request) -> web.Response:
            of = int(request.match_info["id"])
            if self.courses is not None and of not in self.courses:
                return _not_found("Course")
            users = [self._user(one) for one in orjson.loads(await request.read())["studentIds"]]
            inside = {row.user for row in self.enrollments.values() if (row.kind, row.of) == (kind, of)}
            new = [user for user in users if user is not None and not user.disabled and user.id not in inside]
            for user in new:
                self.add_enrollment(user, of, kind)
            return web.json_response(
                {
                    "message": f"{len(new)} student(s) enrolled successfully",
                    "enrolledUsersCount": len(new),
                    "notEnrolledUsers": len(users) - len(new),
                }
            )

        return enroll

    def _remove_from(self, kind: str) -> _Answers:
        async def remove(request: web.Request) -> web.Response:
            rows = await self._named(request, kind)
            for row in rows:
                del self.enrollments[row.id]
            return web.json_response({"message": f"{len(rows)} student(s) removed successfully"})

        return remove

    def _access(self, *, allowed: bool) -> _Answers:
        async def change(request: web.Request) -> web.Response:
            rows = await self._named(request, "course")
            for row in rows:
                row.allowed = allowed
            done = "granted" if allowed else "revoked"
            return web.json_response({"message": f"{len(rows)} learner(s) access has been {done} successfully"})

        return change

    async def _set_expiry(self, request: web.Request) -> web.Response:
        body = orjson.loads(await request.read())
        if not body.get("expiryDate"):
            return _invalid(expiryDate="The expiry date field is required.")
        rows = await self._named(request, "course")
        for row in rows:
            row.expires = _moment(body["expiryDate"])
        return web.json_response({"message": f"Expiration date is successfully updated for {len(rows)} student(s)"})

    async def _named(self, request: web.Request, kind: str) -> list[Enrollment]:
        wanted = {str(one) for one in orjson.loads(await request.read())["enrollmentIds"]}
        of = int(request.match_info["id"])
        return [row for row in self.enrollments.values() if (row.kind, row.of) == (kind, of) and str(row.id) in wanted]

    def _user(self, number: object) -> User | None:
        return self.users.get(int(str(number))) if str(number).isdecimal() else None

    def _by_email(self, email: str) -> User | None:
        return next((user for user in self.users.values() if user.email.casefold() == email.casefold()), None)


def _status(row: Enrollment) -> str:
    return "Allowed" if row.allowed else "Revoked"


def _moment(text: str) -> datetime:
    return datetime.strptime(text, _DATE).replace(tzinfo=UTC)


def _message(status: int, text: str) -> web.Response:
    return web.json_response({"message": text}, status=status)


def _not_found(what: str) -> web.Response:
    return _message(404, f"No query results for model [{what}].")


def _invalid(**faults: str) -> web.Response:
    body = {"message": "The given data was invalid.", "errors": {name: [text] for name, text in faults.items()}}
    return web.json_response(body, status=422)


def _missing(asked: Mapping[str, str], *names: str) -> web.Response | None:
    faults = {name: f"The {name} field is required." for name in names if not asked.get(name)}
    return _invalid(**faults) if faults else None


EMULATOR: type[Emulator] = AcademyOfMine
