"""A TalentLMS portal that runs here: API V2 with users and their courses, enrollments, limits and their headers.

Source: the vendor's documentation of API V2. Assumed, as it prints none of it: the texts of errors, and the status of a
repeat (422).
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any, ClassVar

import orjson
from aiohttp import web

from bridge.kit.sandbox import Emulator, Holding

KEY = "sandbox-talentlms-key"
_MOST_COURSES = 100_000
_NEW = {"name", "surname", "login", "email", "password"}
_OPTIONAL = {"timezone", "locale", "email_notifications", "user_type_id", "status", "description", "credits"}
_CHANGES = (_NEW | _OPTIONAL | {"deactivation_date", "current_password"}) - {"password"}
_Answers = Callable[[web.Request], Awaitable[web.Response]]


@dataclass(slots=True)
class User:
    """One account."""

    id: int
    login: str
    email: str
    name: str = "Some"
    surname: str = "Body"
    password: str = ""
    status: str = "active"
    locale: str = "en-US"
    timezone: str = "UTC"


class TalentLms(Emulator):
    """Holds accounts by id, and who is in which course.

    Attributes:
        courses: ids that exist; None takes every id below 100,000.
        full: courses without a free seat.
        limit: requests and seconds of the window that the headers tell of; what is over is answered 429.
        reset: what ``X-RateLimit-Reset`` says of it; empty leaves the header out, as the documentation does.
        enabled: whether the portal's API is.
    """

    credentials: ClassVar[Mapping[str, Any]] = {"api_key": KEY}

    def __init__(self) -> None:
        """Start without people."""
        super().__init__()
        self.courses: set[int] | None = None
        self.full: set[int] = set()
        self.limit: tuple[int, float] = (2_000, 3_600.0)
        self.reset = ""
        self.enabled = True
        self.users: dict[int, User] = {}
        self.enrollments: set[tuple[int, int]] = set()
        self._last_user = 100
        self._seen: deque[float] = deque()

    def routes(self) -> Sequence[web.RouteDef]:
        """Return the addresses of the API."""
        table: list[tuple[str, str, _Answers]] = [
            ("GET", "users", self._search),
            ("POST", "users", self._create),
            ("GET", "users/{id}", self._read),
            ("PATCH", "users/{id}", self._change),
            ("GET", "courses/{id}", self._course),
            ("GET", "users/{id}/courses", self._courses_of),
            ("POST", "enrollments", self._enroll),
            ("DELETE", "enrollments", self._remove),
        ]
        return [web.route(method, f"/api/v2/{path}", self._guarded(answers)) for method, path, answers in table]

    def holdings(self) -> list[Holding]:
        """Return every enrollment; one that was removed is gone."""
        return [
            Holding("enrollment", self.users[user].email, str(course), f"{user}:{course}", live=True)
            for user, course in sorted(self.enrollments)
        ]

    def add_user(self, email: str, **fields: str) -> User:
        """Make an account, as the portal's staff would."""
        self._last_user += 1
        given = {"login": email.lower(), "email": email, **fields}
        user = self.users[self._last_user] = User(self._last_user, **given)
        return user

    def _guarded(self, answers: _Answers) -> _Answers:
        async def guarded(request: web.Request) -> web.Response:
            left = self._left()
            answer = (
                _error(429, "The API request rate limit has been exceeded.") if left < 0 else self._refusal(request)
            )
            answer = answer or await answers(request)
            answer.headers["X-RateLimit-Limit"] = str(self.limit[0])
            answer.headers["X-RateLimit-Remaining"] = str(max(left, 0))
            if self.reset:
                answer.headers["X-RateLimit-Reset"] = self.reset
            return answer

        return guarded

    def _left(self) -> int:
        most, seconds = self.limit
        now = monotonic()
        while self._seen and self._seen[0] <= now - seconds:
            self._seen.popleft()
        if len(self._seen) >= most:
            return -1
        self._seen.append(now)
        return most - len(self._seen)

    def _refusal(self, request: web.Request) -> web.Response | None:
        if request.headers.get("X-API-Key") != KEY:
            return _error(401, "Invalid API key provided.")
        if not self.enabled:
            return _error(403, "API is not enabled for the specified domain.")
        if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", request.headers.get("X-API-Version", "")):
            return _error(400, "The X-API-Version header is missing or malformed.")
        if "application/json" not in request.headers.get("Accept", ""):
            return _error(400, "All calls must accept application/json.")
        return None

    async def _search(self, request: web.Request) -> web.Response:
        if unknown := set(request.query) - {"filter[email][eq]", "filter[login][eq]", "page[number]", "page[size]"}:
            return _error(400, f"Unknown parameter {min(unknown)}.")
        found = [
            _shown(user)
            for user in self.users.values()
            if all(
                getattr(user, name).lower() == request.query.get(f"filter[{name}][eq]", getattr(user, name)).lower()
                for name in ("email", "login")
            )
        ]
        page = {"page": 1, "page_size": 100, "total_items": len(found), "total_pages": 1, "total_results": len(found)}
        return web.json_response({"_data": found[:100], "_links": {}, "_meta": {"pagination": page}})

    async def _create(self, request: web.Request) -> web.Response:
        body = orjson.loads(await request.read())
        if not set(body) >= _NEW or not all(isinstance(body[name], str) and body[name] for name in _NEW):
            return _error(400, "A required parameter is missing.")
        if unknown := set(body) - _NEW - _OPTIONAL:
            return _error(400, f"Unknown parameter {min(unknown)}.")
        if self._taken("email", body["email"]) or self._taken("login", body["login"]):
            return _error(422, "A user with the same email address or login already exists.")
        if len(body["password"]) < 8:
            return _error(422, "The password is too weak.")
        user = self.add_user(**{name: str(body[name]) for name in _NEW})
        return web.json_response({"_data": _shown(user)})

    def _taken(self, name: str, value: str, besides: int = 0) -> bool:
        rows = (user for user in self.users.values() if user.id != besides)
        return any(getattr(user, name).lower() == value.lower() for user in rows)

    def _user(self, request: web.Request) -> User | None:
        number = request.match_info["id"]
        return self.users.get(int(number)) if number.isdecimal() else None

    async def _read(self, request: web.Request) -> web.Response:
        user = self._user(request)
        return web.json_response({"_data": _shown(user)}) if user else _error(404, "The requested user does not exist.")

    async def _change(self, request: web.Request) -> web.Response:
        user = self._user(request)
        if user is None:
            return _error(404, "The requested user does not exist.")
        body = orjson.loads(await request.read())
        if body.get("status") not in ("active", "inactive") or set(body) - _CHANGES:
            return _error(400, "The status is required, or a parameter is unknown.")
        if self._taken("email", body.get("email", ""), user.id):
            return _error(422, "A user with the same email address already exists.")
        for name, value in body.items():
            setattr(user, name, value)
        return web.Response(status=204)

    def _there(self, course: int) -> bool:
        return 0 < course < _MOST_COURSES if self.courses is None else course in self.courses

    async def _course(self, request: web.Request) -> web.Response:
        number = request.match_info["id"]
        if not number.isdecimal() or not self._there(int(number)):
            return _error(404, "The requested course does not exist.")
        return web.json_response({"_data": {"id": int(number), "name": f"Course {number}", "status": "active"}})

    async def _courses_of(self, request: web.Request) -> web.Response:
        user = self._user(request)
        if user is None:
            return _error(404, "The requested user does not exist.")
        numbers = sorted(course for one, course in self.enrollments if one == user.id)
        return web.json_response({"_data": {"courses": [{"id": one, "name": f"Course {one}"} for one in numbers]}})

    async def _pair(self, request: web.Request) -> tuple[int, int] | web.Response:
        body = orjson.loads(await request.read() or b"{}")
        user, course = body.get("user_id"), body.get("course_id")
        if set(body) != {"user_id", "course_id"} or not isinstance(user, int) or not isinstance(course, int):
            return _error(400, "A required parameter is missing or not an integer.")
        if user not in self.users or not self._there(course):
            return _error(404, "The requested user or course does not exist.")
        return user, course

    async def _enroll(self, request: web.Request) -> web.Response:
        pair = await self._pair(request)
        if isinstance(pair, web.Response):
            return pair
        if pair in self.enrollments:
            return _error(422, "The requested user is already enrolled in this course.")
        if pair[1] in self.full:
            return _error(422, "The course has no capacity left.")
        self.enrollments.add(pair)
        return web.json_response({"_data": {"user_id": pair[0], "course_id": pair[1], "role": "learner"}})

    async def _remove(self, request: web.Request) -> web.Response:
        pair = await self._pair(request)
        if isinstance(pair, web.Response):
            return pair
        if pair not in self.enrollments:
            return _error(422, "The requested user is not enrolled in this course.")
        self.enrollments.remove(pair)
        return web.Response(status=204)


def _shown(user: User) -> dict[str, Any]:
    fields = ("id", "login", "name", "surname", "email", "status", "locale", "timezone")
    return {name: getattr(user, name) for name in fields}


def _error(status: int, message: str) -> web.Response:
    kind = "api_error" if status in (403, 429, 500) else "invalid_request_error"
    return web.json_response({"error": {"type": kind, "message": message}}, status=status)


EMULATOR: type[Emulator] = TalentLms
