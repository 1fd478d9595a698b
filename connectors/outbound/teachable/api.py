"""Teachable's operations as calls, and what its answers mean.

A call that does not succeed raises :class:`Ended` with the outcome that follows from the answer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from bridge.contract.command import Learner, email_key
from bridge.contract.outbound import Explanation, Outcome, TryLater
from bridge.contract.settings import Rate
from bridge.kit.answers import ERRORS as KIT_ERRORS
from bridge.kit.answers import Ended, judge, plain_id
from bridge.kit.http import Answer, Http
from bridge.kit.masking import excerpt

_WINDOW = 60.0  # seconds that RateLimit-Limit is for: the published figures are per minute
_LONGEST_RESET = 300.0

ERRORS: Mapping[str, Explanation] = {
    **KIT_ERRORS,
    "credentials": Explanation(
        "Teachable does not accept the API key, or the school's plan has no API.",
        "Check api_key of the target and the school's plan at Teachable, then resume the lane.",
    ),
    "no-such-course": Explanation(
        "The course that the mapping names does not exist at Teachable.",
        "Correct course_id in [courses.*], then run `bridge reload` and `bridge replay` with the purchase's event.",
    ),
    "person-refused": Explanation(
        "Teachable does not take the person's data as it is.",
        "Correct the name or address at the source, or make the account at Teachable by hand, then requeue the delivery.",
    ),
    "enrollment-refused": Explanation(
        "Teachable does not enroll the person in this course.",
        "See at Teachable whether the course takes enrollments and the account is in order, then requeue the delivery.",
    ),
    "inactive-enrollment": Explanation(
        "The person has an enrollment in this course that is not active, and Teachable does not renew it by itself.",
        "Remove the person from the course at Teachable, then requeue the delivery; it enrolls them anew.",
    ),
    "still-enrolled": Explanation(
        "Teachable does not unenroll the person, though they are in the course.",
        "Remove the person from the course at Teachable by hand, then requeue the delivery.",
    ),
}
"""The faults that Teachable is known to answer."""


class Change(Enum):
    """What came of an enrollment or its end."""

    DONE = "done"
    ALREADY = "already"
    """Refused with words that say it is so already; whether it is stands with the user."""
    NOT_FOUND = "not found"
    """The user, the course or the enrollment: Teachable does not say which."""


@dataclass(frozen=True, slots=True)
class User:
    """A user, as Teachable shows it; ``courses`` says of each course whether the enrollment is active."""

    id: str
    name: str
    email: str
    courses: Mapping[str, bool]


class Api:
    """The operations that the connector uses."""

    def __init__(self, api_key: str, http: Http) -> None:
        """Speak to the school that the key belongs to."""
        self._http = http
        self._headers = {"Accept": "application/json", "apiKey": api_key}

    async def list_one_course(self) -> None:
        """Ask for the first course: harmless, and only a good key is answered."""
        answer = await self._send("GET", "/courses", params={"page": "1", "per": "1"})
        _member(answer, "courses", list, "list courses")

    async def course(self, course: int) -> dict[str, Any] | None:
        """Return a course, or None when it does not exist."""
        answer = await self._send("GET", f"/courses/{course}")
        if _not_found(answer):
            return None
        found: dict[str, Any] = _member(answer, "course", dict, f"read course {course}")
        return found

    async def find_user(self, email: str) -> str | None:
        """Return the id of the user with exactly this address; the filter may show others, too."""
        what = "search the user"
        rows = _member(await self._send("GET", "/users", params={"email": email}), "users", list, what)
        wanted = email_key(email)
        for row in rows:
            if isinstance(row, dict) and email_key(str(row.get("email") or "")) == wanted:
                return _id(row, what)
        return None

    async def read_user(self, user: str) -> User | None:
        """Return a user with the courses, or None when there is none of this id."""
        what = "read the user"
        answer = await self._send("GET", f"/users/{user}")
        if _not_found(answer):
            return None
        row = _member(answer, "user", dict, what)
        rows = row.get("courses")
        courses = {
            str(one.get("course_id")): one.get("is_active_enrollment") is not False
            for one in (rows if isinstance(rows, list) else [])
            if isinstance(one, dict)
        }
        return User(_id(row, what), str(row.get("name") or ""), str(row.get("email") or ""), courses)

    async def create_user(self, learner: Learner) -> tuple[str, bool]:
        """Create a user without a password and return the id, and whether it is a new one.

        A refusal may mean that the address has an account already: it is asked once more.
        """
        what, email = "create the user", str(learner.email)
        name = full_name(learner)
        answer = await self._send("POST", "/users", json={"email": email, **({"name": name} if name else {})})
        if answer.status in (400, 409, 422):
            if (taken := await self.find_user(email)) is not None:
                return taken, False
            raise Ended(ERRORS["person-refused"].refused(_said(answer, what)))
        return _id(_member(answer, "user", dict, what), what), True

    async def rename(self, user: str, name: str) -> bool:
        """Write the user's name, which is all that the API can change; False when there is no such user."""
        what = "rename the user"
        answer = await self._send("PATCH", f"/users/{user}", json={"name": name})
        if _not_found(answer):
            return False
        if answer.status in (400, 422):
            raise Ended(ERRORS["person-refused"].refused(_said(answer, what)))
        _member(answer, "user", dict, what)
        return True

    async def change(self, action: str, user: str, course: int) -> Change:
        """``enroll`` or ``unenroll`` a user; success is 204 without a body."""
        what = f"{action} in course {course}"
        answer = await self._send("POST", f"/{action}", json={"user_id": int(user), "course_id": course})
        if _not_found(answer):
            return Change.NOT_FOUND
        if answer.status in (400, 409, 422):
            if ("already" if action == "enroll" else "not enrolled") in answer.text[:4_000].casefold():
                return Change.ALREADY
            error = ERRORS["enrollment-refused" if action == "enroll" else "still-enrolled"]
            raise Ended(error.refused(_said(answer, what)))
        if not answer.ok:
            raise Ended(_failed(answer, what))
        if answer.body.strip() and answer.json is None:
            raise garbled(answer, what)
        return Change.DONE

    async def _send(
        self, method: str, path: str, *, params: Mapping[str, str] | None = None, json: Any = None
    ) -> Answer:
        answer = await self._http.send(method, f"/v1{path}", params=params, json=json, headers=self._headers)
        limit, left = (answer.count(f"RateLimit-{name}") for name in ("Limit", "Remaining"))
        if limit:
            self._http.learn(Rate(limit, _WINDOW), left)
        return answer


def full_name(learner: Learner) -> str:
    """Return the name in one field, as Teachable keeps it."""
    return f"{learner.first_name} {learner.last_name}".strip()


def reset_after(text: str) -> float | None:
    """Return the seconds that ``RateLimit-Reset`` means, at most five minutes; None for what is no duration."""
    try:
        value = float(text)
    except ValueError:
        return None
    return min(value, _LONGEST_RESET) if math.isfinite(value) and value >= 0 else None


def garbled(answer: Answer, what: str) -> Ended:
    """Return what an answer without the expected fields means: a proxy's page, or half an answer."""
    why = f"{what}: HTTP {answer.status} without the expected fields"
    return Ended(TryLater(why, applied="unknown", cause="outage"))


def _member(answer: Answer, name: str, kind: type, what: str) -> Any:
    """Return what stands in the body of a success under this name."""
    if not answer.ok:
        raise Ended(_failed(answer, what))
    found = answer.json.get(name) if isinstance(answer.json, dict) else None
    if not isinstance(found, kind):
        raise garbled(answer, what)
    return found


def _id(row: Mapping[str, Any], what: str) -> str:
    if (number := plain_id(row.get("id"))) is not None:
        return number
    raise Ended(TryLater(f"{what}: the answer names no id", applied="unknown", cause="outage"))


def _not_found(answer: Answer) -> bool:
    """Say whether Teachable itself says that it is not there; another 404 is some proxy's, and tells nothing."""
    return answer.status == 404 and isinstance(answer.json, dict) and "message" in answer.json


def _failed(answer: Answer, what: str) -> Outcome:
    if answer.status == 429:
        after = answer.retry_after
        if after is None:
            after = reset_after(answer.headers.get("RateLimit-Reset", ""))
        return TryLater(_said(answer, what), after, scope="lane", cause="throttled")
    if answer.status in (401, 403):
        return ERRORS["credentials"].needs_operator(_said(answer, what), "lane")
    if answer.status == 404:
        return garbled(answer, what).outcome
    return judge(answer, what)


def _said(answer: Answer, what: str) -> str:
    return f"{what}: HTTP {answer.status}, {' '.join(excerpt(answer.text[:4_000], 300).split())}"
