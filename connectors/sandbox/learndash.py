"""Plays a WordPress site with LearnDash: users with unique names and addresses, and who is in which course.

A change of a course's users answers a row for each of them, as releases between LearnDash 3.3 and 5.0 do; V1
answers an empty list, and so does V2 with ``tells`` off, as in 3.3. The list of a user's courses ends after ten, as in those
releases, unless ``pages`` is set, as from 5.0 on.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import orjson
from aiohttp import web

from bridge.kit.sandbox import Emulator, Holding

PASSWORD = "abcd EFGH 1234 ijkl MNOP 5678"  # noqa: S105 - the emulator's own
_Answers = Callable[..., Awaitable[web.Response]]
_ROUTES = (
    ("GET", r"/wp/v2/users/me", "_me"),
    ("GET", r"/wp/v2/users", "_search"),
    ("POST", r"/wp/v2/users", "_create"),
    ("GET", r"/wp/v2/users/(\d+)", "_read"),
    ("POST", r"/wp/v2/users/(\d+)", "_change"),
    ("GET", r"/ldlms/v[12]", "_index"),
    ("GET", r"/ldlms/v[12]/sfwd-courses/(\d+)", "_course"),
    ("GET", r"/ldlms/v[12]/sfwd-courses/(\d+)/users", "_users_of"),
    ("POST", r"/ldlms/v[12]/sfwd-courses/(\d+)/users", "_let_in"),
    ("DELETE", r"/ldlms/v[12]/sfwd-courses/(\d+)/users", "_shut_out"),
    ("GET", r"/ldlms/v[12]/users/(\d+)/courses", "_courses_of"),
)
_WRITABLE = {"username", "email", "password", "first_name", "last_name", "name", "roles"}


@dataclass(slots=True)
class User:
    """A WordPress user. Its password and roles are its own business once it is there."""

    id: int
    username: str
    email: str
    first_name: str = ""
    last_name: str = ""
    name: str = ""
    roles: list[str] = field(default_factory=lambda: ["subscriber"])
    password: str = ""


@dataclass(slots=True)
class Course:
    """A course, with its users in ``members`` and those of its groups in ``grouped``.

    A ``full`` one lets nobody in and says nothing of it.
    """

    id: int
    status: str = "publish"
    price_type: str = "closed"
    members: list[int] = field(default_factory=list)
    grouped: set[int] = field(default_factory=set)
    full: bool = False


class LearnDash(Emulator):
    """Holds users and courses by id.

    ``learndash`` is whether the plug-in's API is on, ``pretty`` whether the site has pretty permalinks. ``denied`` names
    capabilities that our user lacks, ``manage_options`` being an administrator's. ``taken_status`` is what a taken name
    answers: 400 or 500. ``tells`` is whether a change says of each user that it was done, ``pages`` whether the list of a
    user's courses has further pages. ``staff_is_in`` is LearnDash's setting that lets administrators into every course.
    """

    credentials: ClassVar[Mapping[str, Any]] = {"username": "bridge", "application_password": PASSWORD}

    def __init__(self) -> None:
        """Start with two courses and without users."""
        super().__init__()
        self.courses: dict[int, Course] = {42: Course(42), 43: Course(43)}
        self.users: dict[int, User] = {}
        self.learndash = True
        self.pretty = True
        self.denied: set[str] = set()
        self.taken_status = 500
        self.tells = True
        self.pages = False
        self.staff_is_in = False
        self._last_user = 10

    def accommodate(self, settings: Any, courses: Sequence[Any]) -> None:
        """Have the courses."""
        for table in courses:
            if isinstance(table.course_id, int):
                self.courses.setdefault(table.course_id, Course(table.course_id))

    def routes(self) -> Sequence[web.RouteDef]:
        """Return the two ways into WordPress' API."""
        return [web.route("*", "/wp-json{route:/.*}", self._pretty), web.route("*", "/", self._plain)]

    def holdings(self) -> list[Holding]:
        """Return who is in which course; whoever is not in it is nowhere kept."""
        return [
            Holding("enrollment", self.users[user].email, f"course:{course.id}", str(user), live=True)
            for course in self.courses.values()
            for user in course.members
        ]

    def add_user(self, email: str, username: str | None = None, **more: Any) -> User:
        """Make an account, as the site's staff would."""
        self._last_user += 1
        user = self.users[self._last_user] = User(self._last_user, username or email, email, **more)
        user.name = user.name or user.username
        return user

    async def _pretty(self, request: web.Request) -> web.Response:
        if not self.pretty:
            return web.Response(status=404, text="<html><h1>Not Found</h1></html>", content_type="text/html")
        return await self._answer(request, request.match_info["route"])

    async def _plain(self, request: web.Request) -> web.Response:
        route = request.query.get("rest_route")
        if route is None:
            return web.Response(text="<html><title>School</title></html>", content_type="text/html")
        return await self._answer(request, route)

    async def _answer(self, request: web.Request, route: str) -> web.Response:
        pair = b64encode(f"bridge:{PASSWORD}".encode()).decode()
        if request.headers.get("Authorization") != f"Basic {pair}":
            return _fault(401, "rest_not_logged_in", "You are not currently logged in.")
        for method, pattern, name in _ROUTES:
            found = re.fullmatch(pattern, route)
            if found and method == request.method and (self.learndash or not route.startswith("/ldlms")):
                if "manage_options" in self.denied and re.match(r"/ldlms/.*users", route):
                    return _fault(403, "ld_rest_cannot_view", "Sorry, you are not allowed to view this item.")
                answers: _Answers = getattr(self, name)
                return await answers(request, *[int(part) for part in found.groups()])
        return _fault(404, "rest_no_route", "No route was found matching the URL and request method.")

    async def _me(self, _: web.Request) -> web.Response:
        may = {name: name not in self.denied for name in ("list_users", "create_users", "edit_users")}
        return web.json_response({"id": 1, "username": "bridge", "capabilities": may})

    async def _search(self, request: web.Request) -> web.Response:
        if "list_users" in self.denied:
            return _fault(403, "rest_forbidden_context", "Sorry, you are not allowed to edit users.")
        term, edit = request.query.get("search", "").casefold(), request.query.get("context") == "edit"
        found = [_shown(user) for user in self.users.values() if term in f"{user.username} {user.email}".casefold()]
        return _page(request, [row if edit else {"id": row["id"], "name": row["name"]} for row in found])

    async def _create(self, request: web.Request) -> web.Response:
        if "create_users" in self.denied:
            return _fault(403, "rest_cannot_create_user", "Sorry, you are not allowed to create new users.")
        body = orjson.loads(await request.read())
        if fault := _refused(body, "username", "email", "password"):
            return fault
        if any(user.username.casefold() == body["username"].casefold() for user in self.users.values()):
            return _fault(self.taken_status, "existing_user_login", "Sorry, that username already exists!")
        if self._by_email(body["email"]):
            return _fault(self.taken_status, "existing_user_email", "Sorry, that email address is already used!")
        user = self.add_user(body["email"], body["username"])
        for name in ("first_name", "last_name", "name", "roles", "password"):
            setattr(user, name, body.get(name, getattr(user, name)))
        return web.json_response(_shown(user), status=201)

    async def _read(self, _: web.Request, number: int) -> web.Response:
        user = self.users.get(number)
        return _no_user() if user is None else web.json_response(_shown(user))

    async def _change(self, request: web.Request, number: int) -> web.Response:
        if (user := self.users.get(number)) is None:
            return _no_user()
        body = orjson.loads(await request.read())
        if fault := _refused(body):
            return fault
        if "email" in body and self._by_email(body["email"]) not in (None, user):
            return _fault(400, "rest_user_invalid_email", "Invalid email address.")
        for name, value in body.items():
            setattr(user, name, value)
        return web.json_response(_shown(user))

    async def _index(self, request: web.Request) -> web.Response:
        return web.json_response({"namespace": request.path.removeprefix("/wp-json/"), "routes": {}})

    async def _course(self, _: web.Request, number: int) -> web.Response:
        if (course := self.courses.get(number)) is None:
            return _no_course()
        return web.json_response({"id": number, "status": course.status, "price_type": course.price_type})

    async def _users_of(self, request: web.Request, number: int) -> web.Response:
        """The plug-in's filter does not match its own address here: everybody is listed."""
        if number not in self.courses:
            return _no_course()
        return _page(request, [{"id": user.id, "name": user.name} for user in self.users.values()])

    async def _let_in(self, request: web.Request, number: int) -> web.Response:
        return await self._changed(request, number, inside=True)

    async def _shut_out(self, request: web.Request, number: int) -> web.Response:
        return await self._changed(request, number, inside=False)

    async def _changed(self, request: web.Request, number: int, *, inside: bool) -> web.Response:
        course, what = self.courses.get(number), "enroll" if inside else "unenroll"
        if course is None:
            return _no_course()
        if course.price_type == "open":
            return _fault(
                406, "learndash_rest_rejected_course_open", f"Cannot {what} users when Course price type is open."
            )
        body = orjson.loads(await request.read())
        if set(body) != {"user_ids"} or not all(type(user) is int for user in body["user_ids"]):
            return _fault(400, "rest_invalid_param", "Invalid parameter(s): user_ids")
        if not body["user_ids"]:
            return _fault(404, "rest_post_invalid_id", "Missing User IDs.")
        rows = [self._change_of(course, user, inside=inside) for user in body["user_ids"]]
        return web.json_response(
            [row for row in rows if row] if self.tells and "/v1/" not in str(request.rel_url) else []
        )

    def _change_of(self, course: Course, user: int, *, inside: bool) -> dict[str, Any] | None:
        if user not in self.users:
            return _row(user, "rest_user_invalid_id" if inside else "rest_post_invalid_id")
        if self.staff_is_in and "administrator" in self.users[user].roles:
            return _row(user, "learndash_rest_admin_auto_enroll")
        what = "learndash_rest_enroll" if inside else "learndash_rest_unenroll"
        if (user in course.members) is inside:
            return _row(user, f"{what}_failed")
        if inside and course.full:
            return None
        (course.members.append if inside else course.members.remove)(user)
        return _row(user, f"{what}_success")

    async def _courses_of(self, request: web.Request, number: int) -> web.Response:
        if number not in self.users:
            return _no_user()
        staff = self.staff_is_in and "administrator" in self.users[number].roles
        found = [
            {"id": one.id, "title": {"rendered": f"Course {one.id}"}}
            for one in self.courses.values()
            if staff or one.price_type == "open" or number in one.members or number in one.grouped
        ]
        return _page(request, found) if self.pages or "/v1/" in str(request.rel_url) else web.json_response(found[:10])

    def _by_email(self, email: str) -> User | None:
        return next((user for user in self.users.values() if user.email.casefold() == email.casefold()), None)


def _shown(user: User) -> dict[str, Any]:
    return {
        "id": user.id,
        "username": user.username,
        "name": user.name,
        "first_name": user.first_name,
        "last_name": user.last_name,
        "email": user.email,
        "roles": user.roles,
        "locale": "en_US",
    }


def _refused(body: Mapping[str, Any], *needed: str) -> web.Response | None:
    if lacking := [name for name in needed if not body.get(name)]:
        return _fault(400, "rest_missing_callback_param", f"Missing parameter(s): {', '.join(lacking)}")
    if strange := set(body) - _WRITABLE:
        return _fault(400, "rest_invalid_param", f"Invalid parameter(s): {', '.join(sorted(strange))}")
    name = body.get("username", "")
    if len(name) > 60:
        return _fault(400, "user_login_too_long", "Username may not be longer than 60 characters.")
    if re.search(r"[^A-Za-z0-9 _.@-]", name):
        return _fault(400, "rest_user_invalid_username", "This username is invalid because it uses illegal characters.")
    return None


def _page(request: web.Request, rows: Sequence[Mapping[str, Any]]) -> web.Response:
    size, number = int(request.query.get("per_page", "10")), int(request.query.get("page", "1"))
    if size > 100:
        return _fault(400, "rest_invalid_param", "Invalid parameter(s): per_page")
    if number > 1 and (number - 1) * size >= len(rows):
        return _fault(
            400, "rest_post_invalid_page_number", "The page number requested is larger than the number of pages."
        )
    headers = {"X-WP-Total": str(len(rows)), "X-WP-TotalPages": str(-(-len(rows) // size))}
    return web.json_response(rows[(number - 1) * size : number * size], headers=headers)


def _fault(status: int, code: str, message: str) -> web.Response:
    return web.json_response({"code": code, "message": message, "data": {"status": status}}, status=status)


def _row(user: int, code: str) -> dict[str, Any]:
    return {
        "user_id": user,
        "status": "success" if code.endswith("_success") else "failed",
        "code": code,
        "message": code,
    }


def _no_user() -> web.Response:
    return _fault(404, "rest_user_invalid_id", "Invalid user ID.")


def _no_course() -> web.Response:
    return _fault(404, "rest_post_invalid_id", "Invalid Course ID.")


EMULATOR: type[Emulator] = LearnDash
