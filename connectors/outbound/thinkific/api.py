"""Thinkific's operations as calls, and what its answers mean.

A call that does not succeed raises :class:`Ended` with the outcome that follows from the answer.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bridge.contract.command import Learner, email_key
from bridge.contract.outbound import Explanation, Outcome, TryLater
from bridge.contract.settings import Rate
from bridge.kit import answers
from bridge.kit.answers import ERRORS as KIT_ERRORS
from bridge.kit.answers import judge, plain_id
from bridge.kit.clock import Clock
from bridge.kit.http import Answer, Http
from bridge.kit.masking import excerpt
from connectors.outbound.thinkific.settings import ThinkificSettings

PUBLISHED = Rate(120, 60.0)
"""What every plan has; Plus sites have more."""

_LONGEST_RESET = 120.0  # seconds; the window is one minute
_ROOT = "/api/public/v1"

ERRORS: Mapping[str, Explanation] = {
    **KIT_ERRORS,
    "credentials": Explanation(
        "Thinkific does not accept our credentials, or they lack a right that this needs.",
        "Check api_key, subdomain and auth of the target, then resume the lane.",
    ),
    "plan": Explanation(
        "The plan of this Thinkific site has no access to the API.",
        "Change to a plan with API access at Thinkific, then resume the lane.",
    ),
    "no-such-course": Explanation(
        "The course that the mapping names does not exist at Thinkific.",
        "Correct course_id in [courses.*], then run `bridge reload` and `bridge replay` with the purchase's event.",
    ),
    "person-refused": Explanation(
        "Thinkific does not take the person's data as it is.",
        "Correct the name or address at the source; if another account has the address already, merge the two at Thinkific, then requeue the delivery.",
    ),
    "address-kept": Explanation(
        "Thinkific lets our credentials change no e-mail address.",
        "Change the address at Thinkific by hand, then requeue the delivery; access is not affected.",
    ),
    "enrollment-refused": Explanation(
        "Thinkific does not enroll the person in this course.",
        "See at Thinkific whether the course takes enrollments and the account is in order, then requeue the delivery.",
    ),
}
"""The faults that Thinkific is known to answer."""


class Ended(answers.Ended):
    """A call did not succeed.

    Attributes:
        outcome: what it means for the delivery.
        stale: whether a user id that was remembered may be one that Thinkific no longer knows.
    """

    def __init__(self, outcome: Outcome, *, stale: bool = False) -> None:
        """Keep the outcome."""
        super().__init__(outcome)
        self.stale = stale


@dataclass(frozen=True, slots=True)
class Held:
    """One enrollment, as Thinkific shows it. One that is not activated gives no access (or that of a free trial)."""

    id: str
    activated: bool
    expired: bool
    expires: datetime | None


class Api:
    """The operations that the connector uses."""

    def __init__(self, settings: ThinkificSettings, http: Http, clock: Clock) -> None:
        """Speak to the site of these settings."""
        self._http = http
        self._clock = clock
        self._headers = {"Accept": "application/json"}
        key = settings.api_key.get_secret_value()
        if settings.auth == "oauth":
            self._headers["Authorization"] = f"Bearer {key}"
        else:
            self._headers |= {"X-Auth-API-Key": key, "X-Auth-Subdomain": settings.subdomain}

    async def list_one_course(self) -> None:
        """Ask for the first course: harmless, and only good credentials are answered."""
        _items(self._read(await self._send("GET", "/courses", params={"page": "1", "limit": "1"}), "list courses"))

    async def course_name(self, course: int) -> str | None:
        """Return the course's name, or None when it does not exist."""
        what = f"read course {course}"
        answer = await self._send("GET", f"/courses/{course}")
        if _not_found(answer):
            return None
        return str(self._read(answer, what).get("name") or "")

    async def find_user(self, email: str) -> dict[str, Any] | None:
        """Return the user with exactly this address; the search may show others, too."""
        what = "search the user"
        params = {"query[email]": email, "limit": "250"}
        rows = _items(self._read(await self._send("GET", "/users", params=params), what))
        wanted = email_key(email)
        return next((row for row in rows if email_key(str(row.get("email") or "")) == wanted), None)

    async def read_user(self, user: str) -> dict[str, Any]:
        """Return a user by id."""
        answer = await self._send("GET", f"/users/{user}")
        if _not_found(answer):
            raise Ended(ERRORS["person-refused"].refused(_said(answer, "read the user")), stale=True)
        return self._read(answer, "read the user")

    async def create_user(self, learner: Learner, *, send_email: bool | None) -> tuple[str, bool]:
        """Create a user and return the id, and whether it is a new one.

        Both names are required, so a missing one is made up; without a password the person signs in by a link. A refusal
        may mean that the address has an account that the search did not show a moment ago: it is asked once more.
        """
        what, email = "create the user", str(learner.email)
        body: dict[str, Any] = {
            "email": email,
            "first_name": learner.first_name or email.rpartition("@")[0],
            "last_name": learner.last_name or "-",
        }
        if send_email is not None:
            body["send_welcome_email"] = send_email
        answer = await self._send("POST", "/users", json=body)
        if answer.status == 422:
            if (taken := await self.find_user(email)) is not None:
                return id_of(taken, what), False
            raise Ended(ERRORS["person-refused"].refused(_said(answer, what)))
        return id_of(self._read(answer, what), what), True

    async def change_user(self, user: str, changes: Mapping[str, str]) -> None:
        """Write these fields of a user; the others stay as they are (assumed)."""
        what = "change the user"
        answer = await self._send("PUT", f"/users/{user}", json=changes)
        if _not_found(answer) or answer.status == 422:
            raise Ended(ERRORS["person-refused"].refused(_said(answer, what)), stale=answer.status == 404)
        if (
            answer.status == 403 and "email" in changes
        ):  # a private integration's may, others not: no reason to stop the lane
            raise Ended(ERRORS["address-kept"].needs_operator(_said(answer, what)))
        self._done(answer, what)

    async def enrollments(self, user: str, course: int) -> list[Held]:
        """Return the user's enrollments in this course."""
        what = "search the enrollment"
        params = {"query[user_id]": user, "query[course_id]": str(course), "limit": "250"}
        rows = _items(self._read(await self._send("GET", "/enrollments", params=params), what))
        ours = [
            row for row in rows if _number(row.get("user_id")) == user and _number(row.get("course_id")) == str(course)
        ]
        return [_held(row, what) for row in ours]

    async def enroll(self, user: str, course: int, start: str, end: str | None) -> str:
        """Create an enrollment and return its id; without a start it would be a free trial."""
        what = f"enroll in course {course}"
        body: dict[str, Any] = {"user_id": int(user), "course_id": course, "activated_at": start}
        answer = await self._send("POST", "/enrollments", json=body if end is None else {**body, "expiry_date": end})
        if answer.status == 422:
            raise _not_enrolled(answer, what)
        return id_of(self._read(answer, what), what)

    async def read_enrollment(self, enrollment: str) -> Held:
        """Return an enrollment by id."""
        what = "read the enrollment"
        return _held(self._read(await self._send("GET", f"/enrollments/{enrollment}"), what), what)

    async def set_dates(self, enrollment: str, dates: Mapping[str, str | None]) -> bool:
        """Write dates of an enrollment; False when it is not there."""
        answer = await self._send("PUT", f"/enrollments/{enrollment}", json=dates)
        if _not_found(answer):
            return False
        if answer.status == 422:
            raise _not_enrolled(answer, "change the enrollment")
        self._done(answer, "change the enrollment")
        return True

    async def _send(
        self, method: str, path: str, *, params: Mapping[str, str] | None = None, json: Any = None
    ) -> Answer:
        answer = await self._http.send(method, _ROOT + path, params=params, json=json, headers=self._headers)
        limit, left = (answer.count(f"RateLimit-{name}") for name in ("Limit", "Remaining"))
        if limit:
            self._http.learn(Rate(limit, PUBLISHED.seconds), left)
        elif answer.status == 429:
            self._http.learn(PUBLISHED)
        return answer

    def _read(self, answer: Answer, what: str) -> dict[str, Any]:
        if not answer.ok:
            raise Ended(self._failed(answer, what))
        if not isinstance(body := answer.json, dict):
            raise garbled(answer, what)
        return body

    def _done(self, answer: Answer, what: str) -> None:
        """Take an empty answer for a success, and a page of HTML for none."""
        if not answer.ok:
            raise Ended(self._failed(answer, what))
        if answer.body.strip() and answer.json is None:
            raise garbled(answer, what)

    def _failed(self, answer: Answer, what: str) -> Outcome:
        if answer.status == 429:
            text = answer.headers.get("RateLimit-Reset", "")
            after = answer.retry_after if answer.retry_after is not None else reset_after(text, self._clock.now())
            return TryLater(_said(answer, what), after, scope="lane", cause="throttled")
        if answer.status == 403 and "plan" in answer.text[:1_000]:
            return ERRORS["plan"].needs_operator(_said(answer, what), "lane")
        if answer.status in (401, 403):
            return ERRORS["credentials"].needs_operator(_said(answer, what), "lane")
        if answer.status == 404:  # with a body of Thinkific's own it was dealt with before: this is some proxy's
            return garbled(answer, what).outcome
        return judge(answer, what)


def reset_after(text: str, now: datetime) -> float | None:
    """Return the seconds that ``RateLimit-Reset`` means; one page says an epoch time, another milliseconds to the reset.

    Above 10^12 it is an epoch time in milliseconds, above 10^9 one in seconds, otherwise a duration: in milliseconds, but
    for one so small that it would be over at once it is read as seconds. A wrong reading costs two minutes at most.
    """
    try:
        value = float(text)
    except ValueError:
        return None
    if not math.isfinite(value) or value < 0:
        return None
    if value > 1e12:
        seconds = value / 1000 - now.timestamp()
    elif value > 1e9:
        seconds = value - now.timestamp()
    else:
        seconds = value if value <= _LONGEST_RESET else value / 1000
    return min(max(seconds, 0.0), _LONGEST_RESET)


def garbled(answer: Answer, what: str) -> Ended:
    """Return what an answer without the expected fields means: a proxy's page, or half an answer."""
    why = f"{what}: HTTP {answer.status} without the expected fields"
    return Ended(TryLater(why, applied="unknown", cause="outage"))


def id_of(row: Mapping[str, Any], what: str) -> str:
    """Return the row's id as text."""
    if (number := _number(row.get("id"))) is None:
        raise Ended(TryLater(f"{what}: the answer names no id", applied="unknown", cause="outage"))
    return number


def _number(value: object) -> str | None:
    """Return an id as text; the vendor's schema calls it a number, so that 81.0 is 81."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return plain_id(value)


def _items(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows = body.get("items")
    if not isinstance(rows, list):
        why = "the answer holds no list of items"
        raise Ended(TryLater(why, applied="unknown", cause="outage"))
    return [row for row in rows if isinstance(row, dict)]


def _held(row: Mapping[str, Any], what: str) -> Held:
    return Held(
        id_of(row, what), bool(row.get("activated_at")), row.get("expired") is True, _moment(row.get("expiry_date"))
    )


def _moment(value: object) -> datetime | None:
    try:
        return datetime.fromisoformat(value).replace(microsecond=0) if isinstance(value, str) else None
    except ValueError:
        return None


def _not_found(answer: Answer) -> bool:
    """Say whether Thinkific itself says that it is not there; another 404 is some proxy's, and tells nothing."""
    return answer.status == 404 and isinstance(answer.json, dict) and "error" in answer.json


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, str):
        yield value.casefold()


def _not_enrolled(answer: Answer, what: str) -> Ended:
    said = list(_texts(answer.json))
    if any("course" in text and "not be found" in text for text in said):
        return Ended(ERRORS["no-such-course"].needs_operator(_said(answer, what)))
    return Ended(
        ERRORS["enrollment-refused"].refused(_said(answer, what)),
        stale=any("user" in text and "not be found" in text for text in said),
    )


def _said(answer: Answer, what: str) -> str:
    return f"{what}: HTTP {answer.status}, {' '.join(excerpt(answer.text[:4_000], 300).split())}"
