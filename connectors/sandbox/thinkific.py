"""A Thinkific site that runs here: users, enrollments and courses of its Admin API.

Source: the vendor's OpenAPI description. Texts of refusals that it does not show are ours. It documents no refusal of a
second enrollment, so there may be two.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar, Literal

import orjson
from aiohttp import web

from bridge.kit.sandbox import Emulator, Holding

KEY, SITE, TOKEN = "sandbox-thinkific-key", "school", "sandbox-thinkific-token"
_ROOT = "/api/public/v1"
_FIELDS = {"email", "first_name", "last_name", "password", "roles", "company", "send_welcome_email", "external_id"}
_DATES = {"activated_at", "expiry_date"}


class Thinkific(Emulator):
    """Holds users and enrollments by number.

    Attributes:
        courses: what exists; None takes every number.
        plan: whether the site's plan has the API.
        clears: whether an end of null takes the end off.
        reopens: whether an expired enrollment lives again by a later end.
        limit: requests per seconds that are let through.
        reset: how ``RateLimit-Reset`` is written.
    """

    credentials: ClassVar[Mapping[str, Any]] = {"api_key": KEY, "subdomain": SITE}

    def __init__(self) -> None:
        """Start with two courses and nobody in them."""
        super().__init__()
        self.courses: set[int] | None = {42, 43}
        self.plan = self.clears = self.reopens = True
        self.limit: tuple[int, float] | None = None
        self.reset: Literal["epoch_ms", "epoch_s", "ms"] = "epoch_s"
        self.users: dict[int, dict[str, Any]] = {}
        self.enrollments: dict[int, dict[str, Any]] = {}
        self.mails: list[str] = []
        self._next_id = 5_000
        self._calls: list[float] = []

    def accommodate(self, settings: Any, courses: Sequence[Any]) -> None:
        """Have the courses."""
        if self.courses is not None:
            self.courses |= {int(table.course_id) for table in courses}

    def routes(self) -> Sequence[web.RouteDef]:
        """Return the addresses of the API."""
        handlers = {
            ("GET", "/users"): self._find_users,
            ("POST", "/users"): self._create_user,
            ("GET", "/users/{id}"): self._read_user,
            ("PUT", "/users/{id}"): self._change_user,
            ("GET", "/enrollments"): self._find_enrollments,
            ("POST", "/enrollments"): self._enroll,
            ("GET", "/enrollments/{id}"): self._read_enrollment,
            ("PUT", "/enrollments/{id}"): self._change_enrollment,
            ("GET", "/courses"): self._list_courses,
            ("GET", "/courses/{id}"): self._read_course,
        }
        return [web.route(method, _ROOT + path, self._guarded(do)) for (method, path), do in handlers.items()]

    def holdings(self) -> list[Holding]:
        """Return every enrollment; an expired one, and one that was never activated, gives no access."""
        return [
            Holding(
                "enrollment",
                self.users[row["user_id"]]["email"],
                str(row["course_id"]),
                str(number),
                row["activated_at"] is not None and not _expired(row),
            )
            for number, row in self.enrollments.items()
        ]

    def add_user(self, email: str, **fields: Any) -> int:
        """Make a user as an administrator would, and return the number."""
        number = self._number()
        self.users[number] = {"first_name": "", "last_name": "", "roles": [], **fields, "email": email}
        return number

    def add_enrollment(self, user: int, course: int, **dates: str | None) -> int:
        """Enroll somebody as an administrator would, and return the number."""
        number = self._number()
        row = {"user_id": user, "course_id": course, "activated_at": None, "expiry_date": None, **dates}
        self.enrollments[number] = row
        return number

    def _number(self) -> int:
        self._next_id += 1
        return self._next_id

    def _guarded(self, do: Any) -> Any:
        async def handler(request: web.Request) -> web.Response:
            given = request.headers
            key = (given.get("X-Auth-API-Key"), given.get("X-Auth-Subdomain"))
            if key != (KEY, SITE) and given.get("Authorization") != f"Bearer {TOKEN}":
                return _error(401, "Authentication Error")
            if not self.plan:
                return _error(403, "Access to Apps is not available on your plan. Upgrade to gain access")
            if (throttled := self._throttled()) is not None:
                return throttled
            body = orjson.loads(await request.read()) if request.method in ("POST", "PUT") else {}
            number = request.match_info.get("id", "")
            return do(request, body, int(number) if number.isdigit() else 0)  # type: ignore[no-any-return]

        return handler

    def _throttled(self) -> web.Response | None:
        if self.limit is None:
            return None
        most, seconds = self.limit
        now = time.time()
        self._calls = [at for at in self._calls if at > now - seconds]
        if len(self._calls) < most:
            self._calls.append(now)
            return None
        free = self._calls[0] + seconds
        written = {"epoch_ms": free * 1000, "epoch_s": free + 1, "ms": (free - now) * 1000}[self.reset]
        return _error(429, "Rate limit exceeded", {"RateLimit-Reset": str(int(written))})

    def _find_users(self, request: web.Request, _: Mapping[str, Any], __: int) -> web.Response:
        wanted = request.query.get("query[email]", "").lower()
        return _page([self._user(number) for number, row in self.users.items() if wanted in row["email"].lower()])

    def _create_user(self, _: web.Request, body: dict[str, Any], __: int) -> web.Response:
        needed = ("email", "first_name", "last_name")
        faults = {name: ["can't be blank"] for name in needed if not body.get(name)} | _unknown(body, _FIELDS)
        if not faults and self._taken(body["email"], None):
            faults = {"email": ["has already been taken"]}
        if faults:
            return web.json_response({"errors": faults}, status=422)
        if body.pop("send_welcome_email", False):
            self.mails.append(body["email"])
        return web.json_response(self._user(self.add_user(**body)), status=201)

    def _taken(self, email: str, but: int | None) -> bool:
        return any(row["email"].lower() == email.lower() for number, row in self.users.items() if number != but)

    def _user(self, number: int) -> dict[str, Any]:
        row = self.users[number]
        return {"id": number, **row, "full_name": f"{row['first_name']} {row['last_name']}"}

    def _read_user(self, _: web.Request, __: Mapping[str, Any], number: int) -> web.Response:
        return web.json_response(self._user(number)) if number in self.users else _error(404, "Record not found.")

    def _change_user(self, _: web.Request, body: dict[str, Any], number: int) -> web.Response:
        if number not in self.users:
            return _error(404, "Record not found.")
        faults = _unknown(body, _FIELDS)
        if self._taken(body.get("email", ""), number):
            faults = {"email": ["has already been taken"]}
        if faults:
            return web.json_response({"errors": faults}, status=422)
        self.users[number] |= body
        return web.Response(status=204)

    def _find_enrollments(self, request: web.Request, _: Mapping[str, Any], __: int) -> web.Response:
        user, course = (request.query.get(f"query[{name}]", "") for name in ("user_id", "course_id"))
        rows = [
            self._enrollment(number)
            for number, row in self.enrollments.items()
            if user in ("", str(row["user_id"])) and course in ("", str(row["course_id"]))
        ]
        return _page(rows)

    def _enroll(self, _: web.Request, body: dict[str, Any], __: int) -> web.Response:
        faults = [f"{name} is unknown" for name in body if name not in {"user_id", "course_id"} | _DATES]
        if self.courses is not None and body.get("course_id") not in self.courses:
            faults.append("Course could not be found.")
        if body.get("user_id") not in self.users:
            faults.append("User could not be found.")
        if faults:
            return web.json_response({"errors": faults}, status=422)
        number = self.add_enrollment(body.pop("user_id"), body.pop("course_id"), **body)
        return web.json_response(self._enrollment(number), status=201)

    def _enrollment(self, number: int) -> dict[str, Any]:
        row = self.enrollments[number]
        more = {"user_email": self.users[row["user_id"]]["email"], "expired": _expired(row), "percentage_completed": 0}
        shown = {name: value for name, value in row.items() if name != "closed"}
        return {"id": number, **shown, **more, "is_free_trial": row["activated_at"] is None}

    def _read_enrollment(self, _: web.Request, __: Mapping[str, Any], number: int) -> web.Response:
        known = number in self.enrollments
        return web.json_response(self._enrollment(number)) if known else _error(404, "Record not found.")

    def _change_enrollment(self, _: web.Request, body: dict[str, Any], number: int) -> web.Response:
        if number not in self.enrollments:
            return _error(404, "Record not found.")
        if faults := _unknown(body, _DATES):
            return web.json_response({"errors": faults}, status=422)
        row = self.enrollments[number]
        row["closed"] = _expired(row) and not self.reopens
        row |= {name: at for name, at in body.items() if at is not None or self.clears}
        return web.Response(status=204)

    def _list_courses(self, _: web.Request, __: Mapping[str, Any], ___: int) -> web.Response:
        return _page([{"id": number, "name": f"Course {number}"} for number in sorted(self.courses or ())])

    def _read_course(self, _: web.Request, __: Mapping[str, Any], number: int) -> web.Response:
        if self.courses is not None and number not in self.courses:
            return _error(404, "Record not found.")
        return web.json_response({"id": number, "name": f"Course {number}", "slug": f"course-{number}"})


def _expired(row: Mapping[str, Any]) -> bool:
    end = row["expiry_date"]
    return row.get("closed", False) or (end is not None and datetime.fromisoformat(end) <= datetime.now(UTC))


def _unknown(body: Mapping[str, Any], fields: set[str]) -> dict[str, list[str]]:
    return {name: ["is unknown"] for name in body if name not in fields}


def _page(rows: list[dict[str, Any]]) -> web.Response:
    pagination = {"current_page": 1, "next_page": None, "prev_page": None, "total_pages": 1, "total_items": len(rows)}
    return web.json_response({"items": rows, "meta": {"pagination": pagination}})


def _error(status: int, text: str, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.json_response({"error": text}, status=status, headers=headers)


EMULATOR: type[Emulator] = Thinkific
