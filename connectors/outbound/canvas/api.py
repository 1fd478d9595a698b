"""Canvas' operations as calls, one method each.

A call that does not succeed raises :class:`Ended` with the outcome that follows from the answer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode

from bridge.contract.command import email_key
from bridge.kit.answers import plain_id
from bridge.kit.http import Answer, Http
from connectors.outbound.canvas.faults import (
    COMFORTABLE,
    PACE,
    Ended,
    garbled,
    not_found,
    refusal,
    requests_left,
    taken,
    units_left,
)
from connectors.outbound.canvas.settings import CanvasCourse, CanvasSettings

_MOST_PAGES = 50
_NEXT = re.compile(r"<([^>]+)>\s*;[^,]*\brel=\"?next\"?")
_HELD = ("active", "invited", "creation_pending", "inactive", "completed")


@dataclass(frozen=True, slots=True)
class Row:
    """One enrollment, as Canvas holds it."""

    id: str
    state: str
    course: str
    section: str
    start_at: datetime | None
    end_at: datetime | None

    @property
    def live(self) -> bool:
        """Whether it gives access, dates aside, or will when the learner accepts."""
        return self.state not in ("inactive", "completed", "rejected", "deleted")


class Api:
    """The calls that the connector makes."""

    def __init__(self, settings: CanvasSettings, http: Http) -> None:
        """Speak to the target of these settings."""
        self._http = http
        self._account = f"/accounts/{_quoted(str(settings.account_id))}"
        self._headers = {"Authorization": f"Bearer {settings.token.get_secret_value()}", "Accept": "application/json"}

    async def send(self, method: str, path: str, json: Any = None) -> Answer:
        """Make one request, and tell the lane how full the bucket is."""
        url = path if "://" in path else f"/api/v1{path}"
        answer = await self._http.send(method, url, json=json, headers=self._headers)
        units = units_left(answer)
        if units is not None and units < COMFORTABLE:
            self._http.learn(PACE, requests_left(units))
        return answer

    async def read(self, path: str, what: str, missing: str = "refused") -> dict[str, Any]:
        """Return one object.

        Raises:
            Ended: it is not there, or no answer of Canvas.
        """
        return _object(await self.send("GET", path), what, missing)

    async def whoami(self) -> dict[str, Any]:
        """Return the token's user."""
        said = await self.read("/users/self", "read the token's user")
        _id(said, "read the token's user")
        return said

    async def account(self) -> dict[str, Any]:
        """Return the account of the settings."""
        return await self.read(self._account, "read the account", "no-such-account")

    async def rights(self, names: Sequence[str]) -> dict[str, Any]:
        """Return which of the rights the token's user has in the account."""
        query = urlencode([("permissions[]", name) for name in names])
        return await self.read(f"{self._account}/permissions?{query}", "read our rights", "no-such-account")

    async def role(self, number: int) -> dict[str, Any]:
        """Return a role of the account."""
        return await self.read(f"{self._account}/roles/{number}", "read the role", "role")

    async def user(self, which: str) -> dict[str, Any] | None:
        """Return the user of an id (``81``, ``sis_user_id:p-8841``, ``sis_login_id:ada@...``), or None."""
        what = "read the user"
        answer = await self.send("GET", f"/users/{_quoted(which)}?include%5B%5D=email")
        if not_found(answer):
            return None
        said = _object(answer, what)
        _id(said, what)
        return said

    async def users_with_email(self, email: str) -> list[dict[str, Any]]:
        """Return the users of the account with exactly this address: the search finds parts of addresses, and names."""
        query = urlencode({"search_term": email, "include[]": "email", "per_page": "100"}, quote_via=quote)
        wanted = email_key(email)
        rows = await self._pages(f"{self._account}/users?{query}", "search the user", "no-such-account")
        found = [
            row for row in rows if wanted in {email_key(str(row.get(name) or "@")) for name in ("login_id", "email")}
        ]
        for row in found:
            _id(row, "search the user")
        return found

    async def create_user(self, body: Mapping[str, Any]) -> dict[str, Any] | None:
        """Create a user and return it; None when the login or SIS id is in use."""
        what = "create the user"
        answer = await self.send("POST", f"{self._account}/users", body)
        if taken(answer):
            return None
        said = _object(answer, what, "no-such-account", "user")
        _id(said, what)
        return said

    async def change_user(self, user: str, changes: Mapping[str, Any]) -> None:
        """Change what is named of a user, and nothing else."""
        what = "change the user"
        said = _object(await self.send("PUT", f"/users/{_quoted(user)}", {"user": changes}), what, "person", "person")
        _id(said, what)

    async def enroll(self, course: CanvasCourse, enrollment: Mapping[str, Any]) -> Row:
        """Enroll: the same user, type, role and section is one enrollment, which comes back if it had ended."""
        what = "enroll the user"
        answer = await self.send("POST", f"{_place(course)}/enrollments", {"enrollment": enrollment})
        return _row(_object(answer, what, "no-such-course"), what)

    async def enrollments(self, course: CanvasCourse, user: str) -> list[Row]:
        """Return the user's enrollments of this type and role, but for deleted ones."""
        what = "list the enrollments"
        query = [("user_id", user), ("type[]", course.enrollment_type), ("per_page", "100")]
        query += [("state[]", state) for state in _HELD]
        found = await self._pages(f"{_place(course)}/enrollments?{urlencode(query)}", what, "no-such-course")
        role = course.role_id
        return [_row(one, what) for one in found if role is None or str(one.get("role_id")) == str(role)]

    async def reactivate(self, row: Row) -> bool:
        """Undo a deactivation; False when there is none."""
        answer = await self.send("PUT", f"/courses/{row.course}/enrollments/{row.id}/reactivate")
        if answer.status == 400 or not_found(answer):
            return False
        _object(answer, "reactivate the enrollment")
        return True

    async def end(self, row: Row, task: str) -> None:
        """Deactivate, conclude or delete an enrollment; one that is gone is done."""
        answer = await self.send("DELETE", f"/courses/{row.course}/enrollments/{row.id}?task={task}")
        if not not_found(answer):
            _object(answer, f"{task} the enrollment", "revoke", "revoke")

    async def course(self, course: CanvasCourse) -> dict[str, Any]:
        """Return the course, with its term."""
        path = f"/courses/{_quoted(str(course.course_id))}?include%5B%5D=term"
        return await self.read(path, "read the course", "no-such-course")

    async def section(self, course: CanvasCourse) -> dict[str, Any]:
        """Return the section."""
        return await self.read(f"/sections/{_quoted(str(course.section_id))}", "read the section", "no-such-course")

    async def _pages(self, path: str, what: str, missing: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for _ in range(_MOST_PAGES):
            answer = await self.send("GET", path)
            if not answer.ok:
                raise refusal(answer, what, missing, "refused")
            if not isinstance(page := answer.json, list) or not all(isinstance(row, dict) for row in page):
                raise garbled(what)
            found += page
            if (following := self._next(answer)) is None:
                break
            path = following
        return found

    def _next(self, answer: Answer) -> str | None:
        link = _NEXT.search(answer.headers.get("Link", ""))
        # The token goes to no other host, whatever an answer says.
        return link[1] if link and link[1].startswith(f"{self._http.base_url}/") else None


def _quoted(text: str) -> str:
    return quote(text, safe=":~")


def _place(course: CanvasCourse) -> str:
    if course.section_id is not None:
        return f"/sections/{_quoted(str(course.section_id))}"
    return f"/courses/{_quoted(str(course.course_id))}"


def _object(answer: Answer, what: str, missing: str = "refused", refused: str = "refused") -> dict[str, Any]:
    if not answer.ok:
        raise refusal(answer, what, missing, refused)
    if not isinstance(body := answer.json, dict):
        raise garbled(what)
    return body


def _id(said: Mapping[str, Any], what: str, name: str = "id") -> str:
    if (number := plain_id(said.get(name))) is None:
        raise garbled(what)
    return number


def _row(said: Mapping[str, Any], what: str) -> Row:
    return Row(
        _id(said, what),
        str(said.get("enrollment_state") or ""),
        _id(said, what, "course_id"),
        str(said.get("course_section_id") or ""),
        moment(said.get("start_at")),
        moment(said.get("end_at")),
    )


def moment(text: object) -> datetime | None:
    """Read a time as Canvas writes it; None for none, and for what is no time."""
    try:
        read = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return read if read is not None and read.tzinfo is not None else None


__all__ = ["Api", "Ended", "Row", "moment"]
