"""Plays Canvas LMS: users with logins and SIS ids, courses with sections, enrollments that come back, a leaky bucket."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, ClassVar

import orjson
from aiohttp import web

from bridge.kit.sandbox import Emulator, Holding
from connectors.sandbox.canvas.records import (
    TYPES,
    Course,
    Enrollment,
    Section,
    User,
    fault_of,
    faults,
    missing,
    shown,
    strange,
)

TOKEN = "canvas-token-7~f3Jk29"  # noqa: S105 - the emulator's own
_Answers = Callable[[web.Request], Awaitable[web.Response]]
_TASKS = {"conclude": "completed", "deactivate": "inactive", "inactivate": "inactive", "delete": "deleted"}
_CHARGE, _REGAINED, _MARK = 50.0, 10.0, 600.0
_TAKEN = "ID already in use for this account and authentication provider"


class Canvas(Emulator):
    """Holds users, courses, sections and enrollments by id.

    ``denied`` names rights that the token's user lacks, ``denied_status`` is what that answers (403 in newer versions).
    ``used`` is how full the bucket is; throttled is ``throttle_status``. ``largest_page`` is the most rows of one page.
    """

    credentials: ClassVar[Mapping[str, Any]] = {"token": TOKEN}

    def __init__(self) -> None:
        """Start with two courses, one of which has a second section, and two custom roles."""
        super().__init__()
        self.courses: dict[int, Course] = {42: Course(42, "PY101"), 43: Course(43)}
        self.sections = {
            one.id: one
            for one in (Section(420, 42, default=True), Section(421, 42, "PY101-B"), Section(430, 43, default=True))
        }
        self.roles = {19: "StudentEnrollment", 20: "TaEnrollment"}
        self.users: dict[int, User] = {}
        self.enrollments: dict[int, Enrollment] = {}
        self.denied: set[str] = set()
        self.denied_status = 401
        self.throttle_status = 403
        self.used = 0.0
        self._leaked_at = time.monotonic()
        self.largest_page = 100

    def accommodate(self, settings: Any, courses: Sequence[Any]) -> None:
        """Have the courses, each with its default section, and the sections and roles that are named."""
        for table in courses:
            sis = None if isinstance(table.course_id, int) else table.course_id.partition(":")[2]
            known = (
                one.id
                for one in self.courses.values()
                if table.course_id == one.id or (sis and one.sis_course_id == sis)
            )
            if (number := next(known, None)) is None:
                number = max(self.courses) + 1 if sis else int(table.course_id)
                self.courses[number] = Course(number, sis)
                self._have_section(number, default=True)
            section = table.section_id
            if isinstance(section, int) and section not in self.sections:
                self.sections[section] = Section(section, number)
            elif isinstance(section, str):
                self._have_section(number, section.partition(":")[2])
            if table.role_id is not None:
                self.roles.setdefault(table.role_id, table.enrollment_type)

    def _have_section(self, course: int, sis: str | None = None, *, default: bool = False) -> None:
        if not any(
            one.course == course and (one.default if default else one.sis_section_id == sis)
            for one in self.sections.values()
        ):
            number = max(self.sections) + 1
            self.sections[number] = Section(number, course, sis, default=default)

    def routes(self) -> Sequence[web.RouteDef]:
        """Return the addresses."""
        place = "/api/v1/{kind:courses|sections}/{of}"
        table: list[tuple[str, str, _Answers]] = [
            ("GET", "/api/v1/users/self", self._self),
            ("GET", "/api/v1/users/{id}", self._read_user),
            ("PUT", "/api/v1/users/{id}", self._change_user),
            ("GET", "/api/v1/accounts/{account}", self._account),
            ("GET", "/api/v1/accounts/{account}/permissions", self._permissions),
            ("GET", "/api/v1/accounts/{account}/roles/{id}", self._role),
            ("GET", "/api/v1/accounts/{account}/users", self._search),
            ("POST", "/api/v1/accounts/{account}/users", self._create_user),
            ("GET", place, self._read_place),
            ("GET", f"{place}/enrollments", self._list),
            ("POST", f"{place}/enrollments", self._enroll),
            ("DELETE", f"{place}/enrollments/{{id}}", self._end),
            ("PUT", f"{place}/enrollments/{{id}}/reactivate", self._reactivate),
        ]
        return [web.route(method, path, self._guarded(answers)) for method, path, answers in table]

    def holdings(self) -> list[Holding]:
        """Return every enrollment that was not deleted; live is what gives access now."""
        return [
            Holding(
                "enrollment",
                self.users[row.user].email or self.users[row.user].login,
                f"course:{row.course}",
                str(row.id),
                row.state == "active" and not row.over,
            )
            for row in self.enrollments.values()
            if row.state != "deleted"
        ]

    def add_user(self, login: str, email: str | None = None, name: str = "Some Body", **more: Any) -> User:
        """Make a user, as the school's staff would."""
        number = 100 + len(self.users)
        self.users[number] = User(number, name, login, email, short_name=name, **more)
        return self.users[number]

    def add_enrollment(self, user: User, section: int = 420, **more: Any) -> Enrollment:
        """Enroll somebody, as the school's staff would."""
        number = 500 + len(self.enrollments)
        row = Enrollment(number, user.id, self.sections[section].course, section, **more)
        self.enrollments[number] = row
        return row

    def _guarded(self, answers: _Answers) -> _Answers:
        async def guarded(request: web.Request) -> web.Response:
            given = request.headers.get("Authorization")
            if given != f"Bearer {TOKEN}":
                status = {} if given else {"status": "unauthenticated"}
                text = "Invalid access token." if given else "user authorization required"
                challenge = {"WWW-Authenticate": 'Bearer realm="canvas-lms"'}
                return web.json_response({**status, "errors": [{"message": text}]}, status=401, headers=challenge)
            now = time.monotonic()
            self.used = max(0.0, self.used - (now - self._leaked_at) * _REGAINED)
            self._leaked_at = now
            if self.used + _CHARGE > _MARK:
                text = f"{self.throttle_status} Forbidden (Rate Limit Exceeded)\n"
                return web.Response(status=self.throttle_status, text=text, headers=self._cost(0))
            answer = await answers(request)
            self.used += 0.34
            answer.headers.update(self._cost(0.34))
            return answer

        return guarded

    def _cost(self, cost: float) -> dict[str, str]:
        return {"X-Request-Cost": str(cost), "X-Rate-Limit-Remaining": str(_MARK - self.used)}

    async def _self(self, _: web.Request) -> web.Response:
        return web.json_response({"id": 1, "name": "Bridge", "short_name": "Bridge", "locale": None})

    async def _account(self, request: web.Request) -> web.Response:
        if self._of_account(request):
            return web.json_response({"id": 1, "name": "School", "workflow_state": "active"})
        return missing()

    async def _permissions(self, request: web.Request) -> web.Response:
        names = request.query.getall("permissions[]", [])
        return web.json_response({name: name not in self.denied for name in names})

    async def _role(self, request: web.Request) -> web.Response:
        number = int(request.match_info["id"])
        if number not in self.roles:
            return missing()
        return web.json_response({"id": number, "base_role_type": self.roles[number], "workflow_state": "active"})

    async def _read_user(self, request: web.Request) -> web.Response:
        user = self._user(request.match_info["id"])
        return missing() if user is None else web.json_response(shown(user))

    async def _search(self, request: web.Request) -> web.Response:
        if not self._of_account(request):
            return missing()
        if "read_roster" in self.denied:
            return self._unauthorised()
        term = request.query.get("search_term", "").casefold()
        if len(term) < 2:
            return faults({"search_term": [{"message": "2 or more characters is required"}]})
        found = [
            {key: value for key, value in shown(user).items() if key != "email" or "include[]" in request.query}
            for user in self.users.values()
            if not user.deleted and term in f"{user.name} {user.login} {user.email} {user.sis_user_id}".casefold()
        ]
        return self._page(request, found)

    async def _create_user(self, request: web.Request) -> web.Response:
        if not self._of_account(request):
            return missing()
        if "manage_user_logins" in self.denied:
            return self._unauthorised()
        body = orjson.loads(await request.read())
        if strange(body):
            return faults({"base": [{"message": "unknown field"}]})
        pseudonym = body["pseudonym"]
        login, sis_id = pseudonym["unique_id"], pseudonym.get("sis_user_id")
        if any(user.login.casefold() == login.casefold() for user in self.users.values() if not user.deleted):
            fault = {"attribute": "unique_id", "message": _TAKEN, "type": "taken"}
            invalid = {"attribute": "pseudonyms", "message": "is invalid", "type": "invalid"}
            return faults({"user": {"pseudonyms": [invalid]}, "pseudonym": {"unique_id": [fault]}, "observee": {}})
        same = next((user for user in self.users.values() if sis_id and user.sis_user_id == sis_id), None)
        if same is not None and not (same.deleted and body.get("enable_sis_reactivation")):
            fault = {"attribute": "sis_user_id", "message": f'SIS ID "{sis_id}" is already in use'}
            return faults({"user": {}, "pseudonym": {"sis_user_id": [fault]}, "observee": {}})
        user = same or self.add_user(login)
        user.login, user.email, user.deleted = login, body.get("communication_channel", {}).get("address"), False
        user.name = user.short_name = body["user"]["name"]
        user.sis_user_id = None if "manage_sis" in self.denied else sis_id  # left out without a word
        user.mailed = bool(pseudonym.get("send_confirmation"))
        return web.json_response({key: value for key, value in shown(user).items() if key != "short_name"})

    async def _change_user(self, request: web.Request) -> web.Response:
        if (user := self._user(request.match_info["id"])) is None:
            return missing()
        body = orjson.loads(await request.read())
        if strange(body):
            return faults({"base": [{"message": "unknown field"}]})
        changes = body["user"]
        user.name = changes.get("name", user.name)
        user.short_name = changes.get("short_name", user.short_name)
        user.email = changes.get("email", user.email)
        return web.json_response(shown(user))

    async def _read_place(self, request: web.Request) -> web.Response:
        if (place := self._place(request)) is None:
            return missing()
        course, section = place
        if request.match_info["kind"] == "sections":
            return web.json_response({"id": section.id, "course_id": course.id, "name": "Section"})
        told = {
            "id": course.id,
            "name": "Course",
            "workflow_state": course.state,
            "sis_course_id": course.sis_course_id,
        }
        term = {"id": 1, "name": "Term", "start_at": None, "end_at": course.term_ends}
        with_term = "term" in request.query.getall("include[]", [])
        return web.json_response({**told, "term": term} if with_term else told)

    async def _list(self, request: web.Request) -> web.Response:
        place, user = self._place(request), self._user(request.query.get("user_id", ""))
        if place is None or user is None:
            return missing()
        states = request.query.getall("state[]", ["active", "invited"])
        types = request.query.getall("type[]", list(TYPES))
        in_section = request.match_info["kind"] == "sections"
        found = [
            self._row(row)
            for row in self.enrollments.values()
            if (row.user, row.course) == (user.id, place[0].id)
            and row.type in types
            and row.state in states
            and row.state != "deleted"
            and (not in_section or row.section == place[1].id)
        ]
        return self._page(request, found)

    async def _enroll(self, request: web.Request) -> web.Response:
        asked = orjson.loads(await request.read()).get("enrollment") or {}
        if fault := fault_of(asked, self.roles):
            return web.json_response({"message": fault}, status=400)
        kind = asked.get("type", "StudentEnrollment")
        if f"add_{kind.removesuffix('Enrollment').lower()}_to_course" in self.denied:
            return self._unauthorised()
        place, user = self._place(request), self._user(str(asked["user_id"]))
        if place is None or user is None:
            return missing()
        course, section = place
        if course.state == "completed":
            return web.json_response({"message": "Can't add an enrollment to a concluded course."}, status=400)
        if request.match_info["kind"] == "courses" and "course_section_id" in asked:
            section = self.sections[int(asked["course_section_id"])]
        same = (user.id, section.id, kind, asked.get("role_id", 3))
        row = next(
            (one for one in self.enrollments.values() if (one.user, one.section, one.type, one.role) == same), None
        ) or self.add_enrollment(user, section.id, type=kind, role=same[3], state="new")
        if row.state != "active":
            row.state = asked.get("enrollment_state", "invited")
        row.start_at, row.end_at = asked.get("start_at"), asked.get("end_at")
        row.limited = bool(asked.get("limit_privileges_to_course_section"))
        row.notified = bool(asked.get("notify"))
        return web.json_response(self._row(row))

    async def _end(self, request: web.Request) -> web.Response:
        row = self._enrollment(request)
        if row is None:
            return missing()
        row.state = _TASKS[request.query.get("task", "conclude")]
        return web.json_response(self._row(row))

    async def _reactivate(self, request: web.Request) -> web.Response:
        row = self._enrollment(request)
        if row is None:
            return missing()
        if row.state != "inactive":
            return web.json_response({"error": "enrollment not inactive"}, status=400)
        row.state = "active"
        return web.json_response(self._row(row))

    def _row(self, row: Enrollment) -> dict[str, Any]:
        return row.shown(self.users[row.user])

    def _of_account(self, request: web.Request) -> bool:
        return request.match_info["account"] in ("self", "1", "sis_account_id:school")

    def _user(self, which: str) -> User | None:
        kind, _, value = which.rpartition("_id:")
        for user in self.users.values():
            known = {"": str(user.id), "sis_user": user.sis_user_id, "sis_login": user.login}.get(kind)
            if not user.deleted and known is not None and known.casefold() == value.casefold():
                return user
        return None

    def _place(self, request: web.Request) -> tuple[Course, Section] | None:
        of, is_section = request.match_info["of"], request.match_info["kind"] == "sections"
        for section in self.sections.values():
            course = self.courses.get(section.course)
            if course is None or not (is_section or section.default):
                continue
            number, sis_id = (section.id, section.sis_section_id) if is_section else (course.id, course.sis_course_id)
            if of in (str(number), f"sis_{'section' if is_section else 'course'}_id:{sis_id}"):
                return course, section
        return None

    def _enrollment(self, request: web.Request) -> Enrollment | None:
        row = self.enrollments.get(int(request.match_info["id"]))
        return row if row is not None and row.state != "deleted" and self._place(request) else None

    def _unauthorised(self) -> web.Response:
        fault = {"message": "user not authorized to perform that action"}
        return web.json_response({"status": "unauthorized", "errors": [fault]}, status=self.denied_status)

    def _page(self, request: web.Request, rows: Sequence[Mapping[str, Any]]) -> web.Response:
        size = min(int(request.query.get("per_page", "10")), self.largest_page)
        number = int(request.query.get("page", "1"))
        links = {}
        if number * size < len(rows):
            following = f"{self.base_url}{request.rel_url.update_query({'page': str(number + 1)})}"
            links["Link"] = f'<{self.base_url}{request.path}>; rel="current",<{following}>; rel="next"'
        return web.json_response(rows[(number - 1) * size : number * size], headers=links)


EMULATOR: type[Emulator] = Canvas
