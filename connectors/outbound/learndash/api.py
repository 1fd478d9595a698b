"""WordPress' and LearnDash's operations as calls, one method each.

A call that does not succeed raises :class:`Ended` with the outcome that follows from the answer.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode

from bridge.contract.command import email_key
from bridge.kit.answers import plain_id
from bridge.kit.http import Answer, Http
from connectors.outbound.learndash.faults import Ended, code_of, garbled, refusal, rows, taken
from connectors.outbound.learndash.settings import LearnDashSettings

_PAGE, _MOST_PAGES = 100, 50
# What LearnDash says of a user whom it had not to let in any more. Its list of the user's courses would be no proof:
# in releases between 3.3 and 5.0 it ends after ten, whatever is asked for.
_IN_ALREADY = ("learndash_rest_enroll_failed", "learndash_rest_admin_auto_enroll")


class Api:
    """The calls that the connector makes."""

    def __init__(self, settings: LearnDashSettings, http: Http) -> None:
        """Speak to the site of these settings."""
        self._http = http
        self._rest_route = settings.rest_route
        self._learndash = f"/ldlms/{settings.api_version}"
        pair = f"{settings.username}:{settings.application_password.get_secret_value()}"
        self._headers = {
            "Authorization": f"Basic {b64encode(pair.encode()).decode()}",
            "Accept": "application/json",
        }

    async def send(self, method: str, route: str, json: Any = None, **query: str) -> Answer:
        """Make one request to a route of WordPress' API, in whichever of its two forms the site has."""
        if self._rest_route:
            path = f"/?rest_route={quote(route, safe='/')}{'&' if query else ''}"
        else:
            path = f"/wp-json{quote(route, safe='/')}{'?' if query else ''}"
        return await self._http.send(method, path + urlencode(query, quote_via=quote), json=json, headers=self._headers)

    async def whoami(self) -> dict[str, Any]:
        """Return the user as whom we are logged in, with what they may do."""
        what = "read the bridge's user"
        return _with_id(await self.send("GET", "/wp/v2/users/me", context="edit"), what, "refused")

    async def find_user(self, email: str) -> str | None:
        """Return the id of the user with exactly this address; the search finds parts of addresses and of names."""
        what, wanted = "search the user", email_key(email)
        for number in range(1, _MOST_PAGES + 1):
            paging = {"per_page": str(_PAGE), "page": str(number)}
            answer = await self.send("GET", "/wp/v2/users", search=email, context="edit", **paging)
            if not answer.ok:
                raise refusal(answer, what, "refused", "user")
            page = rows(answer.json, what)
            for row in page:
                if email_key(str(row.get("email") or "@")) == wanted:
                    if (found := plain_id(row.get("id"))) is None:
                        raise garbled(what, answer.status)
                    return found
            if len(page) < _PAGE:
                break
        return None

    async def create_user(self, body: Mapping[str, Any]) -> str | None:
        """Create a user and return the id; None when the name or the address is in use."""
        answer = await self.send("POST", "/wp/v2/users", body)
        if taken(answer):
            return None
        return str(_with_id(answer, "create the user", "user")["id"])

    async def user(self, number: str) -> dict[str, Any]:
        """Return a user with all fields."""
        return _with_id(await self.send("GET", f"/wp/v2/users/{number}", context="edit"), "read the user", "refused")

    async def change_user(self, number: str, changes: Mapping[str, str]) -> None:
        """Change what is named of a user, and nothing else."""
        _with_id(await self.send("POST", f"/wp/v2/users/{number}", changes), "change the user", "person")

    async def let_in(self, course: int, users: Sequence[str]) -> set[str]:
        """Give users access to a course and return those of whom the answer says that it was done."""
        return await self._members("POST", course, users, "enroll", _IN_ALREADY)

    async def shut_out(self, course: int, users: Sequence[str]) -> set[str]:
        """Take access to a course from users and return those of whom the answer says that it was done."""
        return await self._members("DELETE", course, users, "remove")

    async def is_in(self, user: str, course: int) -> bool:
        """Say whether the list of the user's courses has this one.

        The list of the course's users is no proof of anything: by their source, some releases answer it with everybody.
        """
        what, route = "list the user's courses", f"{self._learndash}/users/{user}/courses"
        for number in range(1, _MOST_PAGES + 1):
            answer = await self.send("GET", route, per_page=str(_PAGE), page=str(number))
            if number > 1 and code_of(answer) == "rest_post_invalid_page_number":
                break
            if not answer.ok:
                raise refusal(answer, what, "refused", "user")
            page = rows(answer.json, what)
            if any(str(row.get("id", row.get("course_id"))) == str(course) for row in page):
                return True
            if len(page) < _PAGE:
                break
        return False

    async def course(self, number: int) -> dict[str, Any]:
        """Return a course."""
        answer = await self.send("GET", f"{self._learndash}/sfwd-courses/{number}")
        return _with_id(answer, "read the course", "refused", course=True)

    async def may_enroll(self, number: int) -> None:
        """Look whether we may change who is in a course: whoever may not is not shown its users, either."""
        answer = await self.send("GET", f"{self._learndash}/sfwd-courses/{number}/users", per_page="1")
        if not answer.ok:
            raise refusal(answer, "look at the course's users", "refused", "course")

    async def has_learndash(self) -> bool:
        """Say whether LearnDash's API is there: WordPress shows each part of its API at that part's own address."""
        answer = await self.send("GET", self._learndash)
        if code_of(answer) == "rest_no_route":
            return False
        if not answer.ok:
            raise refusal(answer, "look for LearnDash", "refused", "course")
        return True

    async def _members(
        self, method: str, course: int, users: Sequence[str], what: str, so: Sequence[str] = ()
    ) -> set[str]:
        numbers = [int(one) if one.isdecimal() else one for one in dict.fromkeys(users)]
        answer = await self.send(method, f"{self._learndash}/sfwd-courses/{course}/users", {"user_ids": numbers})
        if not answer.ok:
            raise refusal(answer, what, "refused", "course")
        body = answer.json
        if not isinstance(body, list | dict):
            raise garbled(what, answer.status)
        told = [row for row in body if isinstance(row, dict)] if isinstance(body, list) else []
        return {str(row.get("user_id")) for row in told if row.get("status") == "success" or row.get("code") in so}


def _with_id(answer: Answer, what: str, refused: str, *, course: bool = False) -> dict[str, Any]:
    if not answer.ok:
        raise refusal(answer, what, refused, "course" if course else "user")
    body = answer.json
    if not isinstance(body, dict) or plain_id(body.get("id")) is None:
        raise garbled(what, answer.status)
    return body


__all__ = ["Api", "Ended"]
