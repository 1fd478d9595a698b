"""One rate limit for all bridges on a ledger: tokens come in blocks from there, and are told to be over when they are.

Beside it stands the limiter that a bridge alone has: what the target says of its limit is learnt there, by each bridge for itself.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from bridge.contract.errors import LedgerError
from bridge.contract.settings import Rate
from bridge.kit.clock import Clock
from bridge.kit.http import Windows
from bridge.ledger.rates import Ask, Lent, Over

Lend = Callable[[Ask], Awaitable[Lent]]

_BEGIN = 1.0  # seconds in which a token is used, or given back
_SPARE = 0.02  # of a window: so many tokens are asked for beyond those that somebody waits for
_AFTER_TROUBLE = 0.5
_MARGIN = 2.0  # seconds beyond a request's own time-out


@dataclass(slots=True)
class _Block:
    """Tokens in hand. By the monotonic clock: when they may be used, until when a request may begin, when they go back."""

    id: int
    left: int
    usable: float
    begin_by: float
    spare_until: float


@dataclass(slots=True)
class _Told:
    """What is to be told of a block."""

    ended: int = 0
    last: float = 0.0
    unused: int = 0


class SharedRate:
    """A limiter whose tokens are the ledger's. While the ledger is away nothing goes out: whoever waits goes on waiting."""

    def __init__(
        self, key: str, owner: str, rates: Sequence[Rate], own: Windows, lend: Lend, longest: float, clock: Clock
    ) -> None:
        """Share the limit ``key``. ``own`` is asked first; ``longest``: seconds that one request may take."""
        self._own = own
        self._lend = lend
        self._clock = clock
        windows = tuple((rate.requests, max(1, round(rate.seconds * 1000))) for rate in rates)
        self._ask = Ask(key, owner, windows, 0, int(_BEGIN * 1000), int((longest + _MARGIN) * 1000))
        shortest = min(rate.seconds for rate in rates)
        self._keep = min(shortest * _SPARE, _BEGIN)
        self._spare = int(min(rate.requests * self._keep / rate.seconds for rate in rates))
        self._linger = min(max(shortest * 0.005, 0.002), 0.1)
        self._blocks: deque[_Block] = deque()
        self._out: deque[int] = deque()
        self._waiters: deque[asyncio.Future[int]] = deque()
        self._told: dict[int, _Told] = {}
        self._not_before = 0.0
        self._stir = asyncio.Event()
        self._serving: asyncio.Task[None] | None = None

    async def take(self) -> None:
        """Wait for a token of our own limiter, then for one of the ledger's."""
        await self._own.take()
        try:
            self._out.append(await self._leased())
        except BaseException:
            self._own.answered()
            raise

    def answered(self) -> None:
        """Tell the ledger soon. Of the oldest block: so what is still out counts until the latest of their ends."""
        self._own.answered()
        told = self._told.setdefault(self._out.popleft(), _Told())
        told.ended, told.last = told.ended + 1, self._clock.monotonic()
        self._go()

    def learn(self, rate: Rate, remaining: int | None) -> None:
        """Pass it on: it holds for this bridge alone."""
        self._own.learn(rate, remaining)

    async def close(self) -> None:
        """End. What was not told is over for the ledger when the requests surely are."""
        if self._serving is not None:
            self._serving.cancel()
            await asyncio.gather(self._serving, return_exceptions=True)

    async def _leased(self) -> int:
        waiter: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self._go()
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self._told.setdefault(waiter.result(), _Told()).unused += 1
                self._go()
            with suppress(ValueError):
                self._waiters.remove(waiter)
            raise

    def _go(self) -> None:
        self._stir.set()
        if self._serving is None or self._serving.done():
            self._serving = asyncio.create_task(self._serve(), name=f"rate:{self._ask.key}")

    async def _serve(self) -> None:
        """Hand out, ask and tell, until nobody waits and nothing is left to tell."""
        while True:
            self._stir.clear()
            self._hand_out()
            lacking = len(self._waiters) - sum(block.left for block in self._blocks)
            may_ask = self._clock.monotonic() >= self._not_before
            if self._told or (lacking > 0 and may_ask):
                if lacking <= 0:
                    await asyncio.sleep(self._linger)
                await self._trip(lacking + self._spare if lacking > 0 and may_ask else 0)
            elif self._waiters or self._blocks:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stir.wait(), self._patience())
            else:
                return

    def _hand_out(self) -> None:
        now = self._clock.monotonic()
        while self._blocks:
            block = self._blocks[0]
            late = now > block.begin_by or (now > block.spare_until and not self._waiters)
            if block.left and late:
                self._told.setdefault(block.id, _Told()).unused += block.left
                block.left = 0
            if not block.left:
                self._blocks.popleft()
            elif now < block.usable or not self._waiters:
                return
            elif not (waiter := self._waiters.popleft()).done():
                block.left -= 1
                waiter.set_result(block.id)

    def _patience(self) -> float:
        now, until = self._clock.monotonic(), []
        if self._blocks:
            block = self._blocks[0]
            until.append(block.usable if now < block.usable else block.spare_until)
        elif self._waiters:
            until.append(self._not_before)
        return max(0.001, min(until, default=now + _BEGIN) - now)

    async def _trip(self, want: int) -> None:
        told, self._told = self._told, {}
        sent = self._clock.monotonic()
        over = tuple(
            Over(block, one.ended, max(0, int((sent - one.last) * 1000)) if one.ended else 0, one.unused)
            for block, one in told.items()
        )
        ask = Ask(self._ask.key, self._ask.owner, self._ask.windows, want, self._ask.begin, self._ask.longest, over)
        try:
            lent = await self._lend(ask)
        except LedgerError:
            # What it did not hear of is over for it when the requests surely are; told again, it might count twice.
            await asyncio.sleep(_AFTER_TROUBLE)
            return
        # As seen from here: usable a little later than by the database's clock, and to be begun a little earlier.
        usable = self._clock.monotonic() + lent.wait_ms / 1000
        if lent.tokens:
            begin_by = sent + lent.wait_ms / 1000 + _BEGIN
            self._blocks.append(_Block(lent.block, lent.tokens, usable, begin_by, min(usable + self._keep, begin_by)))
        elif want:
            self._not_before = usable
