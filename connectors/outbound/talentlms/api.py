"""TalentLMS's API V2 as calls: what is sent, what an answer holds, and the limits that its headers name.

A call that does not succeed raises :class:`Ended` with the outcome that follows from the answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from bridge.contract.command import email_key
from bridge.contract.outbound import TryLater
from bridge.contract.settings import Rate
from bridge.kit.answers import Ended, judge, plain_id
from bridge.kit.clock import Clock
from bridge.kit.http import Answer, Http
from bridge.kit.masking import excerpt
from connectors.outbound.talentlms.errors import EXPLAINED
from connectors.outbound.talentlms.settings import TalentLmsSettings

BURST, HOUR = Rate(200, 5.0), Rate(2_000, 3_600.0)
REFUSALS = (400, 404, 409, 422)
_EPOCH = 1_000_000_000  # a larger number of seconds is a date

User = Mapping[str, Any]


class Api:
    """The calls that the connector makes."""

    def __init__(self, settings: TalentLmsSettings, http: Http, clock: Clock) -> None:
        """Speak to the portal of these settings."""
        self._http = http
        self._clock = clock
        self._headers = {
            "X-API-Key": settings.api_key.get_secret_value(),
            "X-API-Version": settings.api_version,
            "Accept": "application/json",
        }

    async def send(
        self, method: str, path: str, *, params: Mapping[str, str] | None = None, json: Any = None
    ) -> Answer:
        """Make one request, and tell the lane the limit that the answer names."""
        answer = await self._http.send(method, f"/api/v2/{path}", params=params, json=json, headers=self._headers)
        if limit := answer.count("X-RateLimit-Limit"):
            window = BURST if limit <= BURST.requests else HOUR
            self._http.learn(Rate(limit, window.seconds), answer.count("X-RateLimit-Remaining"))
        return answer

    async def read(self, user: str) -> User | None:
        """Return the account with this id, or None."""
        what = "read the account"
        answer = await self.send("GET", f"users/{user}")
        if answer.status == 404 and spoken(answer):
            return None
        if not answer.ok:
            raise self.failed(answer, what)
        found = held(answer)
        if not numbered(found):
            raise garbled(what)
        return found

    async def search(self, field: Literal["email", "login"], value: str) -> User | None:
        """Return the account with this e-mail address or login, or None."""
        what = f"look the person up by {field}"
        answer = await self.send("GET", "users", params={f"filter[{field}][eq]": value})
        if answer.status == 404:
            raise Ended(EXPLAINED["wrong-address"].needs_operator(f"{what}: HTTP 404 at /api/v2/users", "lane"))
        if not answer.ok:
            raise self.failed(answer, what)
        body = answer.json
        rows = body.get("_data") if isinstance(body, dict) else None
        if not isinstance(rows, list) or not all(isinstance(row, dict) and numbered(row) for row in rows):
            raise garbled(what)
        return next((row for row in rows if email_key(str(row.get(field, ""))) == email_key(value)), None)

    async def enrolled(self, user: str, course: int) -> bool:
        """Say whether the course is among the person's. An account that is gone has none."""
        what = "read the person's courses"
        answer = await self.send("GET", f"users/{user}/courses")
        if answer.status == 404 and spoken(answer):
            return False
        if not answer.ok:
            raise self.failed(answer, what)
        rows = held(answer).get("courses")
        if not isinstance(rows, list) or not all(isinstance(row, dict) and numbered(row) for row in rows):
            raise garbled(what)
        return any(str(row["id"]) == str(course) for row in rows)

    def failed(self, answer: Answer, what: str) -> Ended:
        """Return what an answer means that is no success and stands in no table of its own."""
        if answer.status == 429:
            after = answer.retry_after if answer.retry_after is not None else self._until_reset(answer)
            return Ended(TryLater(f"{what}: HTTP 429", after, scope="lane", cause="throttled"))
        if answer.status == 401:
            return Ended(EXPLAINED["bad-key"].needs_operator(told(answer, what), "lane"))
        if answer.status == 403 and spoken(answer):
            return Ended(EXPLAINED["api-off"].needs_operator(told(answer, what), "lane"))
        if answer.ok or answer.status == 404:  # a proxy's page, or half an answer
            return garbled(what, answer.status)
        return Ended(judge(answer, what))

    def _until_reset(self, answer: Answer) -> float | None:
        """Return the seconds until the window begins anew, which are told as a date or as a number of them."""
        if (told := answer.count("X-RateLimit-Reset")) is None:
            return None
        seconds = told - self._clock.now().timestamp() if told >= _EPOCH else float(told)
        return min(max(seconds, 1.0), HOUR.seconds)


def numbered(user: User) -> bool:
    """Say whether an account or a course has an id."""
    return plain_id(user.get("id")) is not None


def held(answer: Answer) -> dict[str, Any]:
    """Return the object that an answer holds, bare or as ``_data``; an empty one where it holds none."""
    body = answer.json
    found = body.get("_data", body) if isinstance(body, dict) else None
    return found if isinstance(found, dict) else {}


def spoken(answer: Answer) -> bool:
    """Say whether an answer is TalentLMS's own: JSON, and not some proxy's page."""
    return isinstance(answer.json, dict)


def told(answer: Answer, what: str) -> str:
    """Return what was tried and what came back, masked."""
    return f"{what}: HTTP {answer.status}, {' '.join(excerpt(answer.text[:4_000], 1_000).split())[:300]}"


def garbled(what: str, status: int = 200) -> Ended:
    """Return what an answer without the expected fields means."""
    said = f"{what}: HTTP {status} without the expected fields"
    return Ended(TryLater(said, applied="unknown", cause="outage"))
