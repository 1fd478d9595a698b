"""A Teachable school that runs here: users, enrollments and courses of its Admin API.

Source: docs.teachable.com and the OpenAPI description of the Admin API. Texts of refusals other than that of the limit
are ours. What a second enrollment is answered is not documented: ``twice`` says it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import orjson
from aiohttp import web

from bridge.kit.sandbox import Emulator, Holding

KEY = "sandbox-teachable-key"


class Teachable(Emulator):
    """Holds users by number, and enrollments by (user, course).

    Attributes:
        courses: what exists; None takes every number.
        unpublished: courses that are there, but not published.
        twice: what an enrollment that is there already is answered.
        limit: requests per seconds that are let through, and told in each answer.
    """

    credentials: ClassVar[Mapping[str, Any]] = {"api_key": KEY}

    def __init__(self) -> None:
        """Start with two courses and nobody in them."""
        super().__init__()
        self.courses: set[int] | None = {42, 43}
        self.unpublished: set[int] = set()
        self.twice: Literal[204, 422] = 422
        self.limit: tuple[int, float] | None = None
        self.users: dict[int, dict[str, Any]] = {}
        self.enrollments: dict[tuple[int, int], bool] = {}
        self._next_id = 8_600
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
            ("PATCH", "/users/{id}"): self._rename,
            ("POST", "/enroll"): self._enroll,
            ("POST", "/unenroll"): self._unenroll,
            ("GET", "/courses"): self._list_courses,
            ("GET", "/courses/{id}"): self._read_course,
        }
        return [web.route(method, "/v1" + path, self._guarded(do)) for (method, path), do in handlers.items()]

    def holdings(self) -> list[Holding]:
        """Return every enrollment ever made."""
        return [
            Holding("enrollment", self.users[user]["email"], str(course), f"{user}:{course}", live)
            for (user, course), live in self.enrollments.items()
        ]

    def add_user(self, email: str, **fields: Any) -> int:
        """Make a user as an administrator would, and return the number."""
        self._next_id += 1
        self.users[self._next_id] = {"name": "", "role": "student", "src": None, **fields, "email": email}
        return self._next_id

    def _guarded(self, do: Any) -> Any:
        async def handler(request: web.Request) -> web.Response:
            if request.headers.get("apiKey") != KEY:
                return _message(401, "Unauthorized")
            told = self._count()
            if told.get("RateLimit-Remaining") == "-1":
                return _message(429, "API rate limit exceeded", {**told, "RateLimit-Remaining": "0"})
            body = orjson.loads(await request.read()) if request.method in ("POST", "PATCH") else {}
            number = request.match_info.get("id", "")
            answer: web.Response = do(request, body, int(number) if number.isdigit() else 0)
            answer.headers.update(told)
            return answer

        return handler

    def _count(self) -> dict[str, str]:
        if self.limit is None:
            return {}
        most, seconds = self.limit
        now = time.monotonic()
        self._calls = [at for at in self._calls if at > now - seconds]
        left = most - len(self._calls) - 1
        if left >= 0:
            self._calls.append(now)
        reset = int(self._calls[0] + seconds - now) + 1
        return {"RateLimit-Limit": str(most), "RateLimit-Remaining": str(left), "RateLimit-Reset": str(reset)}

    def _find_users(self, request: web.Request, _: Mapping[str, Any], __: int) -> web.Response:
        wanted = request.query.get("email", "").lower()
        rows = [
            {"id": number, "name": row["name"], "email": row["email"]}
            for number, row in self.users.items()
            if wanted in row["email"].lower()
        ]
        return web.json_response({"users": rows, "meta": {"total": len(rows), "page": 1, "per_page": 20}})

    def _create_user(self, _: web.Request, body: dict[str, Any], __: int) -> web.Response:
        if not body.get("email") or body.keys() - {"email", "name", "password", "src"}:
            return _message(400, "Invalid parameters")
        if any(row["email"].lower() == body["email"].lower() for row in self.users.values()):
            return _message(400, "Email has already been taken")
        return web.json_response(self._user(self.add_user(**body)), status=201)

    def _user(self, number: int) -> dict[str, Any]:
        row = self.users[number]
        courses = [
            {
                "course_id": course,
                "course_name": f"Course {course}",
                "is_active_enrollment": live,
                "percent_complete": 0,
            }
            for (user, course), live in self.enrollments.items()
            if user == number
        ]
        return {"user": {"id": number, **row, "courses": courses, "tags": []}}

    def _read_user(self, _: web.Request, __: Mapping[str, Any], number: int) -> web.Response:
        return web.json_response(self._user(number)) if number in self.users else _message(404, "User not found")

    def _rename(self, _: web.Request, body: dict[str, Any], number: int) -> web.Response:
        if number not in self.users:
            return _message(404, "User not found")
        if body.keys() - {"name", "src"}:
            return _message(400, "Invalid parameters")
        self.users[number] |= body
        return web.json_response(self._user(number))

    def _enroll(self, _: web.Request, body: dict[str, Any], __: int) -> web.Response:
        if (refusal := self._refusal(body)) is not None:
            return refusal
        pair = (body["user_id"], body["course_id"])
        if self.enrollments.get(pair) and self.twice == 422:
            return _message(422, "User is already enrolled in this course")
        self.enrollments[pair] = True
        return web.Response(status=204)

    def _unenroll(self, _: web.Request, body: dict[str, Any], __: int) -> web.Response:
        if (refusal := self._refusal(body)) is not None:
            return refusal
        pair = (body["user_id"], body["course_id"])
        if not self.enrollments.get(pair):
            return _message(404, "Enrollment not found")
        self.enrollments[pair] = False
        return web.Response(status=204)

    def _refusal(self, body: Mapping[str, Any]) -> web.Response | None:
        user, course = body.get("user_id"), body.get("course_id")
        if body.keys() != {"user_id", "course_id"} or not isinstance(user, int) or not isinstance(course, int):
            return _message(422, "user_id and course_id are required")
        if user not in self.users:
            return _message(404, "User not found")
        if self.courses is not None and course not in self.courses:
            return _message(404, "Course not found")
        return None

    def _list_courses(self, _: web.Request, __: Mapping[str, Any], ___: int) -> web.Response:
        rows = [{"id": number, "name": f"Course {number}"} for number in sorted(self.courses or ())]
        return web.json_response({"courses": rows, "meta": {"total": len(rows), "page": 1}})

    def _read_course(self, _: web.Request, __: Mapping[str, Any], number: int) -> web.Response:
        if self.courses is not None and number not in self.courses:
            return _message(404, "Course not found")
        row = {"id": number, "name": f"Course {number}", "is_published": number not in self.unpublished}
        return web.json_response({"course": row})


def _message(status: int, text: str, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.json_response({"message": text}, status=status, headers=headers)


EMULATOR: type[Emulator] = Teachable
