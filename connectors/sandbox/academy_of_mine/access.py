"""Courses and learning paths of the school, and who is in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import web

from connectors.sandbox.academy_of_mine.state import (
    Answers,
    Enrollment,
    body_of,
    checked,
    message,
    moment,
    not_found,
    page,
)

if TYPE_CHECKING:
    from connectors.sandbox.academy_of_mine import AcademyOfMine

_PAGING = ("page_size", "page_number")
_OPTIONAL = ("order_by", "search_param")


class Access:
    """Answers what is asked about enrollments, and lists what there is to be enrolled in."""

    def __init__(self, school: AcademyOfMine) -> None:
        """Answer for this school."""
        self._school = school

    def listing(self, kind: str) -> Answers:
        """Return what answers a tabular list of courses, learning paths, memberships or products."""

        async def listed(request: web.Request) -> web.Response:
            if fault := checked(request.query, _PAGING, (*_OPTIONAL, "portalId")):
                return fault
            rows: list[dict[str, Any]] = [
                {"id": number, "name": f"{kind} {number}", "status": self._status(kind, number)}
                for number in sorted(self._school.catalogue(kind))
            ]
            return page(request.query, rows, self._school.largest_page)

        return listed

    def _status(self, kind: str, number: int) -> str:
        return "DRAFT" if kind == "course" and number in self._school.drafts else "PUBLISHED"

    async def courses_of(self, request: web.Request) -> web.Response:
        """Enrolled Courses of a user."""
        asked = request.query
        needed = ("user_id", *_PAGING, "portalId", "viewType", "manage_course")
        if fault := checked(asked, needed, _OPTIONAL):
            return fault
        if (user := self._school.user(asked["user_id"])) is None:
            return not_found("User")
        rows = [
            {
                "id": row.id,
                "courseId": row.of,
                "courseName": f"Course {row.of}",
                "status": "In Progress" if row.percent else "Not Started",
                "accessStatus": _access(row),
                "percentComplete": row.percent,
                "expire_on": row.expires.strftime("%d-%b-%Y") if row.expires else "Never",
                "isExpired": row.expired,
            }
            for row in self._school.enrollments.values()
            if row.kind == "course" and row.user == user.id
        ]
        more = {"name": f"{user.first_name} {user.last_name}", "userType": "learner", "isLearner": True}
        return page(asked, rows, self._school.largest_page, **more)

    async def students_of(self, request: web.Request) -> web.Response:
        """Enrolled Students of a learning path."""
        asked = request.query
        if fault := checked(asked, ("learning_path_id", "portalId", *_PAGING), _OPTIONAL):
            return fault
        narrow = str(orjson.loads(asked.get("search_param", "{}")).get("nameOrEmail", "")).casefold()
        rows = []
        for row in self._school.enrollments.values():
            user = self._school.users[row.user]
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
                    "access_status": _access(row),
                    "expire_on": "Never",
                }
            )
        name = f"Learning Path {asked['learning_path_id']}"
        return page(asked, rows, self._school.largest_page, learningPathName=name)

    def enroll_in(self, kind: str) -> Answers:
        """Return what enrolls in a course or learning path; disabled accounts are left out."""

        async def enroll(request: web.Request) -> web.Response:
            of, body = int(request.match_info["id"]), await body_of(request)
            if fault := checked(body, ["studentIds"], ["portalId"]):
                return fault
            if of not in self._school.catalogue(kind):
                return not_found("Course" if kind == "course" else "LearningPath")
            users = [self._school.user(one) for one in body["studentIds"]]
            inside = {row.user for row in self._school.enrollments.values() if (row.kind, row.of) == (kind, of)}
            new = [user for user in users if user is not None and not user.disabled and user.id not in inside]
            for user in new:
                self._school.add_enrollment(user, of, kind)
            return web.json_response(
                {
                    "message": f"{len(new)} student(s) enrolled successfully",
                    "enrolledUsersCount": len(new),
                    "notEnrolledUsers": len(users) - len(new),
                }
            )

        return enroll

    def remove_from(self, kind: str) -> Answers:
        """Return what removes learners."""

        async def remove(request: web.Request) -> web.Response:
            rows = await self._named(request, kind)
            if isinstance(rows, web.Response):
                return rows
            for row in rows:
                del self._school.enrollments[row.id]
            return message(200, f"{len(rows)} student(s) removed successfully")

        return remove

    def access(self, *, allowed: bool) -> Answers:
        """Return what grants or revokes access to a course."""

        async def change(request: web.Request) -> web.Response:
            rows = await self._named(request, "course")
            if isinstance(rows, web.Response):
                return rows
            for row in rows:
                row.allowed = allowed
            done = "granted" if allowed else "revoked"
            return message(200, f"{len(rows)} learner(s) access has been {done} successfully")

        return change

    async def set_expiry(self, request: web.Request) -> web.Response:
        """Set Expiry of a course."""
        rows = await self._named(request, "course", "expiryDate")
        if isinstance(rows, web.Response):
            return rows
        until = moment((await body_of(request))["expiryDate"])
        for row in rows:
            row.expires = until
        return message(200, f"Expiration date is successfully updated for {len(rows)} student(s)")

    async def reset(self, request: web.Request) -> web.Response:
        """Reset Progress of a course."""
        rows = await self._named(request, "course")
        if isinstance(rows, web.Response):
            return rows
        for row in rows:
            row.percent = 0
        return message(200, f"{len(rows)} student(s) progress is reset successfully")

    async def _named(self, request: web.Request, kind: str, *more: str) -> list[Enrollment] | web.Response:
        body = await body_of(request)
        if fault := checked(body, ["enrollmentIds", *more]):
            return fault
        wanted = {str(one) for one in body["enrollmentIds"]}
        of = int(request.match_info["id"])
        found = self._school.enrollments.values()
        return [row for row in found if (row.kind, row.of) == (kind, of) and str(row.id) in wanted]


def _access(row: Enrollment) -> str:
    return "Allowed" if row.allowed else "Revoked"
