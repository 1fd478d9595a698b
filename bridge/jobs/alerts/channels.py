"""Where alerts go: a Slack-compatible webhook and a signed Standard Webhook. Mail is in :mod:`bridge.jobs.alerts.mail`."""

from __future__ import annotations

import asyncio
import base64
import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import orjson

from bridge.contract.errors import TransportFault
from bridge.jobs.alerts.telling import News
from bridge.kit.clock import Clock
from bridge.kit.http import Answer, Http

_LISTED: Final = 20  # of one message; the others are only counted
_DEADLINE: Final = 45.0  # seconds of one channel in one run
_BEGUN: Final = 20.0  # of them, for what is told one by one: nothing is begun after that, so that what was told is kept
_LONGEST_REST: Final = 3_600.0
_TRIES: Final = 2  # at once; then the next run tries
_HEADINGS: Final = {
    "begun": "New",
    "still": "Still there",
    "recovered": "Over",
    "passed": "Was there, and is over",
    "digest": "Daily digest",
    "test": "Test",
}


class Channel(Protocol):
    """One way to the operator."""

    name: str

    async def tell(self, news: Sequence[News]) -> list[str | None]:
        """Tell it, and return for each item None, or why the channel did not take it; never a secret. Raises nothing expected."""


async def tell(channel: Channel, news: Sequence[News]) -> list[str | None]:
    """Tell a channel within its time; whatever goes wrong there is an answer, and stops nobody else."""
    try:
        async with asyncio.timeout(_DEADLINE):
            return await channel.tell(news)
    except TimeoutError:
        return [f"not done within {_DEADLINE:g} s"] * len(news)
    except Exception as fault:  # noqa: BLE001 - a channel's defect must not keep the others from being told
        return [f"it failed: {type(fault).__name__}"] * len(news)


def lines(news: Sequence[News]) -> list[str]:
    """Return news as paragraphs of plain text, what is new first."""
    order = list(_HEADINGS)
    told = sorted(news, key=lambda one: order.index(one.what))
    found = [_paragraph(one) for one in told[:_LISTED]]
    if len(told) > _LISTED:
        found.append(f"... and {len(told) - _LISTED} more: bridge alerts")
    return found


def subject(news: Sequence[News]) -> str:
    """Return one line that says what it is about."""
    if len(news) == 1 and news[0].what in ("digest", "test"):
        return f"Registration bridge: {_HEADINGS[news[0].what].lower()}"
    new = sum(one.what in ("begun", "still") for one in news)
    over = sum(one.what in ("recovered", "passed") for one in news)
    parts = [f"{number} {words}" for number, words in ((new, "to look at"), (over, "over")) if number]
    return f"Registration bridge: {', '.join(parts) or 'daily digest'}"


def _paragraph(one: News) -> str:
    heading = _HEADINGS[one.what]
    if one.what in ("digest", "test"):
        return f"{heading}\n{one.said}"
    since = f" (since {one.since:%Y-%m-%d %H:%M} UTC)" if one.since is not None and one.what != "begun" else ""
    until = f" Over at {one.until:%Y-%m-%d %H:%M} UTC." if one.until is not None else ""
    ends = not one.until and one.remedy
    return f"{heading}{since}: {one.said}{until}" + (f"\nWhat to do: {one.remedy}" if ends else "")


class Slack:
    """An incoming webhook of Slack, or of what understands the same: one message for all that is due."""

    name = "slack"

    def __init__(self, http: Http, clock: Clock) -> None:
        """Post to the address of ``http``."""
        self._http = http
        self._rest = _Rest(clock)

    async def tell(self, news: Sequence[News]) -> list[str | None]:
        """Post one message."""
        if self._rest.why is not None:
            return [self._rest.why] * len(news)
        escaped = "\n\n".join(lines(news)).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        posted = await _posted(self._http, lambda: ({}, orjson.dumps({"text": escaped})))
        self._rest.ask(posted.after)
        return [posted.why] * len(news)


class StandardWebhook:
    """A signed Standard Webhook (specification 1.0.0): one call for each alert, whose ``webhook-id`` every try repeats."""

    name = "webhook"

    def __init__(self, http: Http, secret: str, clock: Clock) -> None:
        """Post to the address of ``http``, signed with ``secret``: base64, with or without ``whsec_`` before it."""
        self._http = http
        self._key = base64.b64decode(secret.removeprefix("whsec_"))
        self._clock = clock
        self._rest = _Rest(clock)

    async def tell(self, news: Sequence[News]) -> list[str | None]:
        """Post one after the other; once the receiver is seen to be away, or slow, the others wait for the next run."""
        if self._rest.why is not None:
            return [self._rest.why] * len(news)
        answers: list[str | None] = []
        began = self._clock.monotonic()
        for one in news:
            if self._clock.monotonic() - began > _BEGUN:
                return answers + ["it is slow: the next run goes on"] * (len(news) - len(answers))
            posted = await _posted(self._http, self._making(one))
            self._rest.ask(posted.after)
            if posted.away:
                return answers + [posted.why] * (len(news) - len(answers))
            answers.append(posted.why)
        return answers

    def _making(self, one: News) -> Callable[[], tuple[dict[str, str], bytes]]:
        at = self._clock.now()
        body = orjson.dumps(
            {
                "type": f"alert.{one.what}" if one.what not in ("digest", "test") else f"bridge.{one.what}",
                "timestamp": one.since or at,
                "data": {
                    "kind": one.kind,
                    "said": one.said,
                    "remedy": one.remedy,
                    "count": one.count,
                    "since": one.since,
                    "until": one.until,
                },
            },
            option=orjson.OPT_UTC_Z,
        )
        identity = f"msg_{one.id}"

        def signed() -> tuple[dict[str, str], bytes]:
            stamp = str(int(self._clock.now().timestamp()))
            digest = hmac.new(self._key, f"{identity}.{stamp}.".encode() + body, "sha256").digest()
            return {
                "webhook-id": identity,
                "webhook-timestamp": stamp,
                "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
            }, body

        return signed


@dataclass(frozen=True, slots=True)
class _Posted:
    """What came of a call: why it was not taken, whether the next one would fare no better, and for how long it said that."""

    why: str | None = None
    away: bool = False
    after: float | None = None


class _Rest:
    """The time for which a receiver wants to be left alone (``Retry-After``)."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until = float("-inf")

    def ask(self, seconds: float | None) -> None:
        if seconds is not None:
            self._until = self._clock.monotonic() + min(seconds, _LONGEST_REST)

    @property
    def why(self) -> str | None:
        left = self._until - self._clock.monotonic()
        return f"it wants to be left alone for {left:.0f} s more" if left > 0 else None


async def _posted(http: Http, making: Callable[[], tuple[dict[str, str], bytes]]) -> _Posted:
    """Post, and again where it may help. What the other side answers is not quoted or even read: it may hold a secret, or have no end."""
    posted = _Posted()
    for _ in range(_TRIES):
        headers, body = making()
        try:
            answer = await http.send(
                "POST",
                http.base_url,
                content=body,
                headers={"Content-Type": "application/json", **headers},
                status_only=True,
            )
        except TransportFault as fault:
            posted = _Posted(str(fault), away=True)
            continue
        if answer.ok:
            return _Posted()
        away = answer.status >= 500 or answer.status == 429
        posted = _Posted(_said(answer), away, answer.retry_after if away else None)
        if answer.status < 500 or posted.after is not None:
            break
    return posted


def _said(answer: Answer) -> str:
    if 300 <= answer.status < 400:
        return f"it answered HTTP {answer.status}: redirects are not followed"
    return f"it answered HTTP {answer.status}"
