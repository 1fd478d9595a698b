"""An Open edX site that runs here: its token endpoint, the bulk enrolment API and the course's enrolment details.

Source: openedx/edx-platform, lms/djangoapps/bulk_enroll and lms/djangoapps/instructor/views/api.py. The texts of
Django's own pages are ours.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import orjson
from aiohttp import web

from bridge.kit.sandbox import Emulator, Holding

CLIENT, SECRET = "sandbox-edx-client", "sandbox-edx-secret"
BULK = "/api/bulk_enroll/v1/bulk_enroll"
_COURSE_KEY = re.compile(r"course-v1:[^/+\s]+\+[^/+\s]+\+[^/+\s]+|[^/+\s]+/[^/+\s]+/[^/+\s]+")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


class OpenEdx(Emulator):
    """Holds enrolments by (course, address), and what is kept for people who have no account yet.

    Attributes:
        courses: what exists; None takes every key.
        accounts: user name by lower-case address; None gives everybody an account.
        inactive: addresses of accounts that were never activated.
        broken: identifiers that the site meets an error with.
        staff: whether the client's user is global staff.
        bulk: whether the bulk view is switched on.
        final_slash: whether its address ends in a slash; the other one is redirected.
        limit: calls per seconds that are let through.
    """

    credentials: ClassVar[Mapping[str, Any]] = {"client_id": CLIENT, "client_secret": SECRET}
    course: ClassVar[Mapping[str, Any]] = {"course_id": "course-v1:Org+PY101+2026"}

    def __init__(self) -> None:
        """Start with two courses and nobody in them."""
        super().__init__()
        self.courses: set[str] | None = {"course-v1:Org+PY101+2026", "course-v1:Org+PY102+2026"}
        self.accounts: dict[str, str] | None = None
        self.inactive: set[str] = set()
        self.broken: set[str] = set()
        self.staff = self.bulk = self.final_slash = True
        self.limit: tuple[int, float] | None = None
        self.tokens: set[str] = set()
        self.fetched = 0
        self.enrolled: dict[tuple[str, str], bool] = {}
        self.allowed: dict[tuple[str, str], bool] = {}
        self.shown: dict[str, str] = {}
        self.mails: list[tuple[str, str, str]] = []
        self._calls: list[float] = []

    def accommodate(self, settings: Any, courses: Sequence[Any]) -> None:
        """Have the courses."""
        if self.courses is not None:
            self.courses |= {table.course_id for table in courses}

    def routes(self) -> Sequence[web.RouteDef]:
        """Return the addresses of the LMS."""
        bulk = [web.route("*", path, self._bulk) for path in (BULK, BULK + "/")]
        return [
            web.post("/oauth2/access_token", self._token),
            *bulk,
            web.get("/api/enrollment/v1/course/{course}", self._course),
        ]

    def holdings(self) -> list[Holding]:
        """Return every enrolment; one that waits for its account counts as access given."""
        pairs = {**self.enrolled, **{pair: live for pair, live in self.allowed.items() if live}}
        return [
            Holding("enrollment", self.shown[email], course, self.shown[email], live)
            for (course, email), live in pairs.items()
        ]

    def expire(self) -> None:
        """Accept none of the tokens that were given out."""
        self.tokens.clear()

    async def _token(self, request: web.Request) -> web.Response:
        form = await request.post()
        if form.get("grant_type") != "client_credentials":
            return web.json_response({"error": "unsupported_grant_type"}, status=400)
        if (form.get("client_id"), form.get("client_secret")) != (CLIENT, SECRET):
            return web.json_response({"error": "invalid_client"}, status=401)
        self.fetched += 1
        kind = "JWT" if str(form.get("token_type")).lower() == "jwt" else "Bearer"
        token = f"eyJ.sandbox.{self.fetched}"
        self.tokens.add(f"{kind} {token}")
        said = {"access_token": token, "expires_in": 3600, "token_type": kind, "scope": "read write email profile"}
        return web.json_response(said)

    async def _bulk(self, request: web.Request) -> web.Response:
        if request.path.endswith("/") != self.final_slash:
            there = BULK + ("/" if self.final_slash else "")
            return web.Response(status=301, headers={"Location": there})
        if not self.bulk:
            return web.Response(status=404, text="<h1>Page not found</h1>", content_type="text/html")
        if (refusal := self._refusal(request)) is not None:
            return refusal
        if request.method != "POST":
            return _detail(405, f'Method "{request.method}" not allowed.')
        body = orjson.loads(await request.read())
        if faults := _faults(body):
            return web.json_response(faults, status=400)
        answered = {}
        for course in body["courses"].split(","):
            if self.courses is not None and course not in self.courses:
                return _detail(404, "Not found.")
            answered[course] = self._update(course, body)
        flags = {"auto_enroll": body.get("auto_enroll", False), "email_students": body.get("email_students", False)}
        return web.json_response({**flags, "action": body["action"], "courses": answered})

    def _refusal(self, request: web.Request) -> web.Response | None:
        if request.headers.get("Authorization") not in self.tokens:
            return _detail(401, "Authentication credentials were not provided.")
        if not self.staff:
            return _detail(403, "You do not have permission to perform this action.")
        if self.limit is not None:
            most, seconds = self.limit
            now = time.monotonic()
            self._calls = [at for at in self._calls if at > now - seconds]
            if len(self._calls) >= most:
                wait = int(self._calls[0] + seconds - now) + 1
                text = f"Request was throttled. Expected available in {wait} seconds."
                return _detail(429, text, {"Retry-After": str(wait)})
            self._calls.append(now)
        return None

    def _update(self, course: str, body: Mapping[str, Any]) -> dict[str, Any]:
        rows = [self._row(course, name, body) for name in re.split(r"[\n\r\s,]", body["identifiers"]) if name]
        return {"action": body["action"], "auto_enroll": body.get("auto_enroll", False), "results": rows}

    def _row(self, course: str, name: str, body: Mapping[str, Any]) -> dict[str, Any]:
        if name in self.broken:
            return {"identifier": name, "error": True}
        known = self.accounts or {}
        email = next((address for address, user in known.items() if user == name), name)
        if not _EMAIL.fullmatch(email):
            return {"identifier": name, "invalidIdentifier": True}
        pair = (course, email.lower())
        self.shown.setdefault(pair[1], email)
        before = self._state(pair, body)
        if body["action"] == "enroll":
            if before["user"] and pair[1] not in self.inactive:
                self.enrolled[pair] = True
            else:
                self.allowed[pair] = True
        else:
            self.allowed.pop(pair, None)
            if pair in self.enrolled:
                self.enrolled[pair] = False
        if body.get("email_students") is True:
            self.mails.append((body["action"], course, email))
        return {"identifier": name, "before": before, "after": self._state(pair, body)}

    def _state(self, pair: tuple[str, str], body: Mapping[str, Any]) -> dict[str, bool]:
        allowed = self.allowed.get(pair, False)
        return {
            "user": self.accounts is None or pair[1] in self.accounts,
            "enrollment": self.enrolled.get(pair, False),
            "allowed": allowed,
            "auto_enroll": allowed and bool(body.get("auto_enroll")),
        }

    async def _course(self, request: web.Request) -> web.Response:
        course = request.match_info["course"]
        if self.courses is not None and course not in self.courses:
            return web.json_response({"message": f"No course found for course ID '{course}'"}, status=400)
        return web.json_response({"course_id": course, "course_modes": [{"slug": "audit", "name": "Audit"}]})


def _faults(body: Mapping[str, Any]) -> dict[str, list[str]]:
    needed = ("action", "courses", "identifiers")
    faults = {name: ["This field is required."] for name in needed if not body.get(name)}
    if not faults and body["action"] not in ("enroll", "unenroll"):
        faults["action"] = [f'"{body["action"]}" is not a valid choice.']
    if not faults:
        wrong = [key for key in body["courses"].split(",") if not _COURSE_KEY.fullmatch(key)]
        faults |= {"courses": [f"Course key not valid: {wrong[0]}"]} if wrong else {}
    return faults


def _detail(status: int, text: str, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.json_response({"detail": text}, status=status, headers=headers)


EMULATOR: type[Emulator] = OpenEdx
