"""A Moodle site that runs here: the web service functions over REST, with Moodle's error codes and checks.

Source: Moodle's own code (webservice/rest, user/externallib, enrol/manual/externallib). Errors come with HTTP 200, calls
for many are all or nothing, and dates that are left out become 0. Messages are the English ones.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from time import monotonic, time
from typing import Any, ClassVar
from urllib.parse import parse_qsl

from aiohttp import web

from bridge.kit.sandbox import Emulator, Holding
from connectors.sandbox.moodle.checks import Fault, checked, folded, integer, invalid, nested, only, rows_of, strong

TOKEN = "sandbox0moodle0token0of0a0technical0user"  # noqa: S105 - of an emulator
_MOST_FIELDS = 1_000  # PHP's max_input_vars: what comes after is not read
_MOST_COURSES = 100_000
_SETTINGS = ("moodlewsrestformat", "wstoken", "wsfunction")
_PROFILE = frozenset({"firstname", "lastname", "email", "idnumber", "auth", "lang", "city", "suspended", "username"})
_NEW = (_PROFILE | {"password", "createpassword"}) - {"suspended"}
_ENROLMENT = {"roleid", "userid", "courseid", "timestart", "timeend", "suspend"}


@dataclass(slots=True)
class User:
    """One account; ``mails`` counts the mails with a new password."""

    id: int
    username: str
    email: str
    firstname: str = "Some"
    lastname: str = "Body"
    idnumber: str = ""
    auth: str = "manual"
    password: str = ""
    suspended: bool = False
    confirmed: bool = True
    deleted: bool = False
    lang: str = "en"
    city: str = ""
    mails: int = 0


@dataclass(slots=True)
class Enrolment:
    """One person in one course by the manual method; ``writes`` counts how often it was written."""

    roles: set[int]
    timestart: int = 0
    timeend: int = 0
    suspended: bool = False
    writes: int = 1


@dataclass(slots=True)
class State:
    """What a transaction rolls back."""

    users: dict[int, User] = field(default_factory=dict)
    enrolments: dict[tuple[int, int], Enrolment] = field(default_factory=dict)
    last_user: int = 41


class Moodle(Emulator):
    """Holds accounts by id and manual enrolments by account and course.

    Attributes:
        courses: ids that exist; None takes every id below 100,000.
        methods: a course's enabled enrolment methods, where it is not the manual one alone.
        roles: short names by id; ``assignable`` are those that the technical user may give.
        functions: names that the token's service lacks are not among them.
        denied: functions for which the technical user lacks the capability.
        rest, maintenance, debugging, namespaced: the site's state; ``namespaced`` is how releases from 4.5 on name classes.
        same_case: the database tells capitals from small letters.
        hides: fields of an account that the technical user may not see.
        limit: requests and seconds that the web server in front lets through; it answers 429.
    """

    credentials: ClassVar[Mapping[str, Any]] = {"token": TOKEN}

    def __init__(self) -> None:
        """Start without people."""
        super().__init__()
        self.state = State()
        self.courses: set[int] | None = None
        self.methods: dict[int, set[str]] = {}
        self.roles = {3: "editingteacher", 4: "teacher", 5: "student"}
        self.assignable = {5}
        self._handlers: dict[str, Callable[[dict[str, Any]], Any]] = {
            "core_webservice_get_site_info": self._site,
            "core_user_get_users_by_field": self._by_field,
            "core_user_get_users": self._search,
            "core_user_create_users": self._create,
            "core_user_update_users": self._update,
            "enrol_manual_enrol_users": self._enrol,
            "enrol_manual_unenrol_users": self._unenrol,
            "core_course_get_courses_by_field": self._courses,
            "core_enrol_get_enrolled_users": self._enrolled,
        }
        self.functions = set(self._handlers)
        self.denied: set[str] = set()
        self.rest, self.maintenance, self.debugging, self.namespaced = True, False, False, True
        self.same_case = False
        self.hides: set[str] = set()
        self.limit: tuple[int, float] | None = None
        self._seen: deque[float] = deque()

    def routes(self) -> Sequence[web.RouteDef]:
        """Return the one address."""
        return [web.post("/webservice/rest/server.php", self._serve)]

    def holdings(self) -> list[Holding]:
        """Return every manual enrolment; live is one that is neither suspended nor over."""
        return [
            Holding(
                "enrollment",
                self.state.users[user].email,
                str(course),
                f"{user}:{course}",
                not row.suspended and (row.timeend == 0 or row.timeend > time()),
            )
            for (user, course), row in self.state.enrolments.items()
        ]

    def add_user(self, email: str, **fields: Any) -> User:
        """Make an account, as the site's staff would."""
        self.state.last_user += 1
        number = self.state.last_user
        user = User(number, **{"username": email.lower(), "email": email, **fields})
        self.state.users[number] = user
        return user

    async def _serve(self, request: web.Request) -> web.Response:
        if self.limit is not None and not self._let_through(*self.limit):
            page = "<html><head><title>429 Too Many Requests</title></head></html>"
            return web.Response(status=429, text=page, content_type="text/html", headers={"Retry-After": "2"})
        if not self.rest:
            return web.Response(status=403)
        pairs = parse_qsl((await request.text()), keep_blank_values=True)[:_MOST_FIELDS]
        form = nested(pairs)
        before = deepcopy(self.state)
        try:
            found = self._run(form)
        except Fault as fault:
            self.state = before
            return _answered(form, self._told(fault))
        return _answered(form, found)

    def _let_through(self, most: int, seconds: float) -> bool:
        now = monotonic()
        while self._seen and self._seen[0] <= now - seconds:
            self._seen.popleft()
        if len(self._seen) >= most:
            return False
        self._seen.append(now)
        return True

    def _told(self, fault: Fault) -> dict[str, Any]:
        prefix = "core\\exception\\" if self.namespaced else ""
        text = {"invalidparameter": "Invalid parameter value detected", "accessexception": "Access control exception"}
        told = {"exception": prefix + fault.kind, "errorcode": fault.code, "message": text.get(fault.code, fault.code)}
        return told | ({"debuginfo": fault.debug} if self.debugging and fault.debug else {})

    def _run(self, form: dict[str, Any]) -> Any:
        if self.maintenance:
            raise Fault("sitemaintenance")
        if form.get("wstoken") != TOKEN:
            raise Fault("invalidtoken")
        name = str(form.get("wsfunction", ""))
        if name not in self.functions or name not in self._handlers:
            raise Fault("accessexception", "webservice_access_exception")
        if name in self.denied:
            raise Fault("nopermissions", "required_capability_exception")
        return self._handlers[name]({key: value for key, value in form.items() if key not in _SETTINGS})

    def _site(self, params: dict[str, Any]) -> Any:
        only(params, set())
        functions = [{"name": name, "version": "2026100500"} for name in sorted(self.functions)]
        known = {"sitename": "Sandbox", "username": "bridge", "userid": 2, "release": "5.1 (Build: 20251006)"}
        return known | {"siteurl": self.base_url, "functions": functions, "userprivateaccesskey": "a-private-key"}

    def _shown(self, user: User) -> dict[str, Any]:
        fields = ("id", "username", "firstname", "lastname", "email", "auth", "suspended", "confirmed", "lang")
        row = {name: getattr(user, name) for name in fields} | {"fullname": f"{user.firstname} {user.lastname}"}
        row |= {"idnumber": user.idnumber} if user.idnumber else {}  # an empty one is left out
        return {name: value for name, value in row.items() if name not in self.hides}

    def _same(self, one: str, other: str) -> bool:
        return one == other if self.same_case else folded(one) == folded(other)

    def _people(self) -> list[User]:
        return [user for user in self.state.users.values() if not user.deleted]

    def _by_field(self, params: dict[str, Any]) -> Any:
        only(params, {"field", "values"})
        name, values = params.get("field"), params.get("values")
        if name not in ("id", "idnumber", "username", "email") or not isinstance(values, list) or not values:
            raise invalid("Invalid field or values")
        for value in values:
            checked(name, value)
        return [
            self._shown(user)
            for user in self._people()
            if any(self._same(str(getattr(user, name)), value) for value in values)
        ]

    def _search(self, params: dict[str, Any]) -> Any:
        only(params, {"criteria"})
        criteria = params.get("criteria") or []
        if len(criteria) != 1 or criteria[0].get("key") != "email":
            raise invalid("the emulator searches by one address only")
        wanted = criteria[0].get("value", "").lower()
        return {"users": [self._shown(user) for user in self._people() if user.email.lower() == wanted], "warnings": []}

    def _create(self, params: dict[str, Any]) -> Any:
        only(params, {"users"})
        return [self._made(fields) for fields in rows_of(params, "users")]

    def _made(self, fields: dict[str, str]) -> dict[str, Any]:
        only(fields, _NEW)
        if missing := [name for name in ("username", "firstname", "lastname", "email") if not fields.get(name)]:
            raise invalid(f"Missing required key in single structure: {missing[0]}")
        for name, value in fields.items():
            checked(name, value)
        if any(user.username == fields["username"] for user in self._people()):
            raise invalid(f"Username already exists: {fields['username']}")
        if self._taken(fields["email"]):
            raise invalid(f"Email address already exists: {fields['email']}")
        auth, mails = fields.get("auth", "manual"), int(fields.get("createpassword") == "1")
        if auth == "manual" and not mails and not strong(fields.get("password", "")):
            raise invalid("You must provide a password that the policy takes, or set createpassword")
        given = {name: value for name, value in fields.items() if name not in ("createpassword", "email")}
        user = self.add_user(fields["email"], **given, mails=mails)
        return {"id": user.id, "username": user.username}

    def _taken(self, email: str, besides: int = 0) -> bool:
        return any(user.email.lower() == email.lower() and user.id != besides for user in self._people())

    def _update(self, params: dict[str, Any]) -> Any:
        only(params, {"users"})
        warnings = []
        for fields in rows_of(params, "users"):
            only(fields, _PROFILE | {"id"})
            for name, value in fields.items():
                checked(name, value)
            code = self._changed(int(fields["id"]), fields)
            if code:
                warnings.append({"item": "user", "itemid": int(fields["id"]), "warningcode": code, "message": code})
        return {"warnings": warnings}

    def _changed(self, number: int, fields: Mapping[str, str]) -> str:
        user = self.state.users.get(number)
        if user is None:
            return "invaliduserid"
        if user.deleted:
            return "usernotupdateddeleted"
        if user.username == "admin":
            return "usernotupdatedadmin"
        if "email" in fields and self._taken(fields["email"], number):
            return "useremailduplicate"
        for name, value in fields.items():
            if name != "id":
                setattr(user, name, value == "1" if name == "suspended" else value)
        return ""

    def _there(self, course: int) -> bool:
        return 1 < course < _MOST_COURSES if self.courses is None else course in self.courses

    def _user(self, number: int) -> User:
        user = self.state.users.get(number)
        if user is None:
            raise Fault("invaliduser", "dml_missing_record_exception")
        if user.deleted:
            raise Fault("userdeleted")
        if not user.confirmed:
            raise Fault("usernotconfirmed")
        return user

    def _enrol(self, params: dict[str, Any]) -> None:
        only(params, {"enrolments"})
        for row in rows_of(params, "enrolments"):
            only(row, _ENROLMENT)
            wanted = {name: integer(value) for name, value in row.items()}
            if not {"roleid", "userid", "courseid"} <= set(wanted):
                raise invalid("Missing required key in single structure")
            course = wanted["courseid"]
            if not self._there(course):
                raise invalid("Context does not exist")
            user = self._user(wanted["userid"])
            if wanted["roleid"] not in self.assignable:
                raise Fault("wsusercannotassign")
            if "manual" not in self.methods.get(course, {"manual"}):
                raise Fault("wsnoinstance")
            self._write(user.id, course, wanted)

    def _write(self, user: int, course: int, wanted: Mapping[str, int]) -> None:
        dates = (wanted.get("timestart", 0), wanted.get("timeend", 0), bool(wanted.get("suspend", 0)))
        held = self.state.enrolments.get((user, course))
        if held is None:
            self.state.enrolments[user, course] = Enrolment({wanted["roleid"]}, *dates)
            return
        held.roles.add(wanted["roleid"])
        held.timestart, held.timeend, held.suspended = dates
        held.writes += 1

    def _unenrol(self, params: dict[str, Any]) -> None:
        only(params, {"enrolments"})
        for row in rows_of(params, "enrolments"):
            only(row, {"userid", "courseid"})
            user, course = integer(row.get("userid", "")), integer(row.get("courseid", ""))
            if not self._there(course):
                raise Fault("invalidrecord", "dml_missing_record_exception")
            if "manual" not in self.methods.get(course, {"manual"}):
                raise Fault("wsnoinstance")
            self.state.enrolments.pop((self._user(user).id, course), None)

    def _courses(self, params: dict[str, Any]) -> Any:
        only(params, {"field", "value"})
        if params.get("field") != "ids":
            raise invalid("the emulator looks courses up by ids only")
        numbers = [integer(one) for one in str(params.get("value", "")).split(",")]
        rows = [
            {
                "id": number,
                "shortname": f"C{number}",
                "fullname": f"Course {number}",
                "enrollmentmethods": sorted(self.methods.get(number, {"manual"})),
            }
            for number in numbers
            if self._there(number)
        ]
        return {"courses": rows, "warnings": []}

    def _enrolled(self, params: dict[str, Any]) -> Any:
        only(params, {"courseid", "options"})
        course = integer(params.get("courseid", ""))
        return [
            {
                "id": user,
                "roles": [{"roleid": role, "shortname": self.roles.get(role, "")} for role in sorted(row.roles)],
            }
            for (user, number), row in self.state.enrolments.items()
            if number == course
        ]


def _answered(form: Mapping[str, Any], found: Any) -> web.Response:
    if form.get("moodlewsrestformat") == "json":
        return web.json_response(found)
    return web.Response(text='<?xml version="1.0" encoding="UTF-8" ?>\n<RESPONSE/>', content_type="application/xml")


EMULATOR: type[Emulator] = Moodle
