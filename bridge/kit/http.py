"""HTTP to a target: one session a lane, rate tokens taken per request, faults sorted by what they leave unknown.

A connector gets one :class:`Http`. It follows no redirects (they would carry credentials along), makes no retries, and
keeps a masked record of each exchange for the attempt's story.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from functools import cached_property
from math import inf
from typing import Any, Protocol
from urllib.parse import quote, urlencode

import aiohttp
import orjson
from yarl import URL

from bridge.contract.errors import AnswerLost, Unreachable
from bridge.contract.settings import Rate
from bridge.kit.clock import Clock
from bridge.kit.dates import Dates
from bridge.kit.kept import LARGEST, kept
from bridge.kit.masking import mask, mask_url

_LARGEST_ANSWER = 4_000_000  # bytes, inflated: ours are a few kilobytes, and a lane keeps dozens of them at once
_CHUNK = 65_536
_LONGEST_RETRY_AFTER = 86_400.0
_LONGEST_COUNT = 15  # digits; Python refuses to read thousands of them, and a write has been made by then
_LONGEST_WINDOW = 3_600.0  # seconds
_HIGHEST_LIMIT = 100_000
_MOST_WINDOWS = 8


@dataclass(frozen=True)
class Answer:
    """What a target answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @cached_property
    def json(self) -> Any:
        """The body as JSON, read once and not to be changed, or None when it is something else (an HTML page of a proxy, say)."""
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return None

    @property
    def text(self) -> str:
        """The body as text, whatever its bytes."""
        return self.body.decode("utf-8", "replace")

    @property
    def ok(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300

    def count(self, header: str) -> int | None:
        """Return the whole number that a header holds; None when it is absent, no number, or longer than any real one."""
        text = self.headers.get(header, "").strip()
        return int(text) if text.isascii() and text.isdigit() and len(text) <= _LONGEST_COUNT else None

    @property
    def retry_after(self) -> float | None:
        """Seconds from ``Retry-After``, given as seconds or as a date; None when absent or unreadable."""
        text = self.headers.get("Retry-After", "").strip()
        if not text:
            return None
        try:
            seconds = float(text)
        except ValueError:
            try:
                seconds = parsedate_to_datetime(text).timestamp() - time.time()
            except (TypeError, ValueError):
                return None
        return min(seconds, _LONGEST_RETRY_AFTER) if seconds >= 0 else None


@dataclass(slots=True)
class Exchange:
    """One request and its answer, masked: part of an attempt's story. ``status`` is None when no answer came."""

    method: str
    url: str
    sent: Any = None
    status: int | None = None
    answer: Any = None
    fault: str | None = None
    ms: int = 0


exchanges: ContextVar[list[Exchange] | None] = ContextVar("exchanges", default=None)
"""Where the exchanges of the running attempt are noted; set by dispatch around ``deliver``."""


class Limiter(Protocol):
    """Something that hands out rate tokens."""

    async def take(self) -> None:
        """Return when one request may be made."""

    def answered(self) -> None:
        """A request for which a token was taken is over, whatever came of it."""

    def learn(self, rate: Rate, remaining: int | None) -> None:
        """The target named its limit, and how many requests are left of it."""


class Windows:
    """Rate limits over several windows at once: never more than N requests in any window of S seconds.

    A target counts a request when it arrives there: later than we took its token, and before its answer is here. So a
    token is free again S seconds after the *answer*; two bursts never meet in one of the target's windows.
    """

    def __init__(self, rates: Sequence[Rate], clock: Clock, *, fixed: bool = False) -> None:
        """Start with full windows. ``fixed``: the operator set the rates; what a target says can only lower them."""
        self._clock = clock
        self._fixed = fixed
        self._windows = [_Window(rate, rate) for rate in rates]
        self._under_way = 0
        self._turn = asyncio.Lock()
        self._ended = asyncio.Event()

    @property
    def endless(self) -> bool:
        """Whether nobody ever waits."""
        return not self._windows

    def uses(self) -> list[tuple[int, Rate]]:
        """Return for each window how many requests count in it now, those under way among them, and its limit."""
        now = self._clock.monotonic()
        return [(window.count(now) + self._under_way, window.rate) for window in self._windows]

    async def take(self) -> None:
        """Wait until every window has room, then use one token of each. First come, first served."""
        if self._windows:
            async with self._turn:
                await self._room()
        self._under_way += 1

    async def _room(self) -> None:
        # Nobody else takes a token meanwhile: the turn is ours.
        while True:
            self._ended.clear()
            now = self._clock.monotonic()
            wait = max(window.wait(now, self._under_way) for window in self._windows)
            if wait <= 0:
                return
            if wait == inf:  # every token is out with a request that has no answer yet
                await self._ended.wait()
            else:
                await asyncio.sleep(wait)

    def answered(self) -> None:
        """Count the request in every window from now on."""
        self._under_way -= 1
        if self._windows:
            now = self._clock.monotonic()
            for window in self._windows:
                window.used.append(now)
        self._ended.set()

    def learn(self, rate: Rate, remaining: int | None = None) -> None:
        """Take over the target's own limit for the window of this length, and make room for what others used of it.

        Idempotent. Where the operator set a limit for the window it stays, unless the target's is lower.
        A limit that nobody can mean is passed over: none at all, or of a window so long that the lane would stand still.
        """
        if not (1 <= rate.requests <= _HIGHEST_LIMIT and 0 < rate.seconds <= _LONGEST_WINDOW):
            return
        window = next((one for one in self._windows if one.rate.seconds == rate.seconds), None)
        if window is None:
            if len(self._windows) >= _MOST_WINDOWS:
                return
            self._windows.append(window := _Window(rate, rate))
        lower = self._fixed and window.given.requests < rate.requests
        window.rate = window.given if lower else rate
        if remaining is not None:
            window.others(rate.requests - max(0, remaining) - self._under_way, self._clock.monotonic())


@dataclass(slots=True)
class _Window:
    """``given``: the limit before the target named its own. ``used``: when the requests that count were answered."""

    rate: Rate
    given: Rate
    used: deque[float] = field(default_factory=deque)

    def wait(self, now: float, under_way: int) -> float:
        self._forget(now)
        over = len(self.used) + under_way - self.rate.requests
        if over < 0:
            return 0.0
        return self.used[over] + self.rate.seconds - now if over < len(self.used) else inf

    def count(self, now: float) -> int:
        self._forget(now)
        return len(self.used)

    def others(self, gone: int, now: float) -> None:
        self._forget(now)
        self.used.extend([now] * max(0, gone - len(self.used)))

    def _forget(self, now: float) -> None:
        since = now - self.rate.seconds
        while self.used and self.used[0] <= since:
            self.used.popleft()


def open_session(connections: int = 100) -> aiohttp.ClientSession:
    """Return a session to one target; close it after use. Cookies of one learner's answer have no business in the next request."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=connections),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": "registration-bridge"},
    )


class Http:
    """What a connector speaks through."""

    def __init__(
        self,
        base_url: str,
        limiter: Limiter,
        timeout: float,
        session: aiohttp.ClientSession,
        dates: Dates | None = None,
    ) -> None:
        """Send to ``base_url`` through ``session``, each request at most ``timeout`` seconds.

        Half of it is for the connection, so that a target that can't be reached is told from one that doesn't answer.
        ``dates`` is told of every answer.
        """
        self.base_url = base_url.rstrip("/")
        self._limiter = limiter
        self._timeout = aiohttp.ClientTimeout(total=timeout, connect=timeout / 2)
        self._session = session
        self._dates = dates

    def learn(self, rate: Rate, remaining: int | None = None) -> None:
        """Tell the lane the limit that the target names in its answers, and how many requests are left of it.

        For windows of seconds and minutes: a day's limit would make a lane wait for hours without a word. Idempotent.
        """
        self._limiter.learn(rate, remaining)

    async def send(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        form: Mapping[str, str] | None = None,
        content: bytes | None = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        status_only: bool = False,
    ) -> Answer:
        """Make one request and return whatever was answered, whatever its status.

        ``path`` is appended to the base address, unless it is a whole address itself. It must be percent-encoded.
        ``content`` is sent as it is, byte for byte; ``headers`` then say what it is. With ``status_only`` the body of the
        answer is not waited for, and is empty.

        Raises:
            Unreachable: it surely had no effect.
            AnswerLost: it may have had its effect.
        """
        url = path if "://" in path else self.base_url + path
        sent_headers = dict(headers or {})
        body: bytes | aiohttp.FormData | None = content
        if json is not None:
            body = orjson.dumps(json)
            sent_headers.setdefault("Content-Type", "application/json")
        elif form is not None:
            body = aiohttp.FormData(dict(form))
        await self._limiter.take()
        try:
            # Quoted, because a value may hold an ampersand.
            shown = f"{url}?{urlencode(params, quote_via=quote)}" if params else url
            sent = kept(json, body) if isinstance(body, bytes) else mask(dict(form)) if form else None
            exchange = Exchange(method, mask_url(shown), sent)
            return await self._noted(exchange, url, body, params, sent_headers, status_only=status_only)
        finally:
            self._limiter.answered()

    async def _noted(
        self,
        exchange: Exchange,
        url: str,
        body: bytes | aiohttp.FormData | None,
        params: Mapping[str, str] | None,
        headers: Mapping[str, str],
        *,
        status_only: bool,
    ) -> Answer:
        if (story := exchanges.get()) is not None:
            story.append(exchange)
        started = time.monotonic()
        try:
            answer = await self._exchange(exchange.method, url, body, params, headers, status_only=status_only)
        except (AnswerLost, Unreachable) as fault:
            exchange.fault = str(fault)
            raise
        except asyncio.CancelledError:
            exchange.fault = "given up at the deadline"
            raise
        finally:
            exchange.ms = int((time.monotonic() - started) * 1000)
        if self._dates is not None:
            self._dates.note(answer.headers)
        exchange.status = answer.status
        exchange.answer = kept(answer.json if len(answer.body) <= LARGEST else None, answer.body)
        return answer

    async def _exchange(
        self,
        method: str,
        url: str,
        body: bytes | aiohttp.FormData | None,
        params: Mapping[str, str] | None,
        headers: Mapping[str, str],
        *,
        status_only: bool,
    ) -> Answer:
        # Sorted by what is left unknown: a connection that was never made had no effect, everything later may have.
        try:
            async with self._session.request(
                method,
                URL(url, encoded=True),
                data=body,
                params=params,
                headers=headers,
                timeout=self._timeout,
                allow_redirects=False,
                middlewares=(_once,),
            ) as response:
                if status_only:
                    response.close()
                    return Answer(response.status, response.headers, b"")
                return Answer(response.status, response.headers, await _body(response))
        except aiohttp.ConnectionTimeoutError:
            raise Unreachable("no connection within the time limit") from None
        except (aiohttp.ClientConnectorError, aiohttp.InvalidURL) as fault:
            raise Unreachable(f"no connection: {_reason(fault)}") from None
        except TimeoutError:
            raise AnswerLost("no answer within the time limit") from None
        except (aiohttp.ClientError, OSError) as fault:
            raise _broken(fault) from None


async def _body(response: aiohttp.ClientResponse) -> bytes:
    """Return the body; of one that is too long, no more is read than shows that it is, and the connection ends."""
    length = response.content_length
    if length is not None and length <= _LARGEST_ANSWER and "Content-Encoding" not in response.headers:
        return await response.read()
    parts: list[bytes] = []
    size = 0
    async for part in response.content.iter_chunked(_CHUNK):
        size += len(part)  # inflated already, a bounded piece at a time: a compressed bomb is counted as it unfolds
        if size > _LARGEST_ANSWER:
            response.close()
            raise AnswerLost(f"the answer is longer than {_LARGEST_ANSWER // 1_000_000} MB")
        parts.append(part)
    return b"".join(parts)


async def _once(request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    # aiohttp by itself sends GET, PUT and DELETE again when the connection breaks: a second request that no rate token
    # covers and no record shows. It lets a fault that is not its own pass, so the broken connection becomes ours here.
    try:
        return await send(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as fault:
        raise _broken(fault) from None


def _broken(fault: Exception) -> AnswerLost:
    return AnswerLost(f"the connection broke before the answer was complete: {type(fault).__name__}")


def _reason(fault: Exception) -> str:
    if isinstance(fault, aiohttp.ClientConnectorCertificateError):
        return "the certificate was refused"
    cause = getattr(fault, "os_error", None)
    if isinstance(cause, ssl.SSLError):
        return "TLS failed"
    if not isinstance(cause, OSError):
        return type(fault).__name__
    # The event loop puts the address in place of the system's own words; a name that isn't found has a text of its own.
    known = os.strerror(cause.errno) if cause.errno is not None and cause.errno > 0 else cause.strerror
    return known or type(cause).__name__
