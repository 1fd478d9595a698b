"""Judges what came of attempts and sees to it that the ledger gets it, however long the ledger is away."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence

import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_random_exponential

from bridge.contract.errors import LedgerError, LedgerRefused
from bridge.contract.outbound import Operation, Outcome, Receipt, Repeat, Work
from bridge.dispatch.attempt import where
from bridge.dispatch.retry import RetryPolicy, decide
from bridge.dispatch.settle import buried, salvaged, settlement
from bridge.kit.http import Exchange
from bridge.ledger import claims
from bridge.ledger.claimed import Claimed
from bridge.ledger.claims import Settlement
from bridge.ledger.store import Ledger
from bridge.ledger.unit import Unit

log = structlog.get_logger(__name__)

Judge = Callable[[], list[Settlement]]
"""Says what is to be written of one call."""

_LINGER = 0.02  # seconds: while more is on its way, a commit is shared rather than hurried
_TURN = 64  # deliveries that are judged before others are looked after
_DEFECT = "A defect of the bridge: the log says where. Have it mended, then requeue the delivery."


def ids(claimed: Claimed) -> dict[str, int | None]:
    """Return what a log line names a delivery by. Changed data has no registration of its own: the newest it touches."""
    delivery = claimed.delivery
    behind = claimed.registrations[-1].id if claimed.registrations else None
    return {
        "delivery_id": delivery.id,
        "registration_id": behind if delivery.registration_id is None else delivery.registration_id,
        "event_id": delivery.event_id,
    }


class Settler:
    """Settles the deliveries of one lane.

    Attributes:
        unsettled: calls of the connector whose outcomes are on their way to disk.
    """

    def __init__(
        self,
        target: str,
        operations: Mapping[Operation, Repeat],
        policy: RetryPolicy,
        ledger: Ledger,
        is_busy: Callable[[], bool],
        settled: Callable[[], None],
    ) -> None:
        """Write to ``ledger`` what follows from outcomes under ``policy``; while it ``is_busy``, in larger groups.

        ``settled`` is called when a group is on disk.
        """
        self._target = target
        self._operations = operations
        self._policy = policy
        self._ledger = ledger
        self._is_busy = is_busy
        self._settled = settled
        self.unsettled = 0
        self._waiting: list[Judge] = []
        self._flush: asyncio.Task[None] | None = None  # the one that takes what is waiting
        self._flushes: set[asyncio.Task[None]] = set()

    def judged(
        self,
        claimed: Claimed,
        work: Work,
        outcome: Outcome,
        story: list[Exchange],
        *,
        at: int,
        ms: int,
        touched: bool,
    ) -> Settlement:
        """Return what is to be written of one attempt; ``touched`` as in :func:`settlement`."""
        delivery = claimed.delivery
        repeat = self._operations.get(work.operation, Repeat.UNSAFE)
        chance = random.random()  # noqa: S311 - spreads retries, guards nothing
        try:
            following = decide(outcome, delivery.attempts, delivery.age / 1000, repeat, self._policy, chance)
            settled = settlement(claimed, work, outcome, following, story, at=at, ms=ms, touched=touched)
        except Exception as fault:  # noqa: BLE001 - unsettled, it would block its person until the next start
            return self.defect(claimed, fault, "the outcome can't be kept", at=at)
        level = log.info if isinstance(outcome, Receipt) else log.warning
        level(
            "dispatch.attempted",
            target=self._target,
            **ids(claimed),
            operation=work.operation.value,
            outcome=type(outcome).__name__,
            follows=following.result,
            delay=round(following.delay, 1) or None,
            why=following.why or None,
            ms=ms,
        )
        return settled

    def defect(self, claimed: Claimed, fault: Exception, what: str, *, at: int) -> Settlement:
        """Return the settlement of a delivery that we ourselves fail at: the operator's, and out of the others' way."""
        name = type(fault).__name__
        log.error(
            "dispatch.defect",
            target=self._target,
            **ids(claimed),
            what=what,
            fault=name,
            where=where(fault),
        )
        return buried(claimed, f"{what}: {name}", _DEFECT, at=at)

    def settle(self, judge: Judge) -> None:
        """Have the outcomes of one call judged and written; what is settled meanwhile shares the commit.

        They are judged together, too: run through one after the other, the same steps cost half of what they cost each
        between two requests.
        """
        self.unsettled += 1
        self._waiting.append(judge)
        if self._flush is None:
            self._flush = asyncio.create_task(self._flushed(), name=f"settle:{self._target}")
            self._flushes.add(self._flush)
            self._flush.add_done_callback(self._ended)

    async def written(self) -> None:
        """Wait until all that was to be settled so far is on disk, or has failed to get there."""
        if self._flushes:
            await asyncio.wait([*self._flushes])

    async def stop(self, patience: float) -> None:
        """Give up what the ledger has not taken within so many seconds; the leases tell the next start of it."""
        if self._flushes:
            await asyncio.wait([*self._flushes], timeout=patience)
        for flush in [*self._flushes]:
            flush.cancel()
        await asyncio.gather(*self._flushes, return_exceptions=True)

    async def _flushed(self) -> None:
        if self._is_busy():
            await asyncio.sleep(_LINGER)
        calls, self._waiting, self._flush = self._waiting, [], None
        items: list[Settlement] = []
        turn = _TURN
        try:
            for judge in calls:
                try:
                    items += judge()
                except Exception as fault:  # noqa: BLE001 - of one call; the others' must not be lost for it
                    self.failed(fault)
                if len(items) >= turn:
                    turn = len(items) + _TURN
                    await asyncio.sleep(0)
            if items:
                await self._write(items)
        finally:
            self.unsettled -= len(calls)

    def failed(self, fault: BaseException) -> None:
        """Tell of a defect of the bridge in dealing with an outcome, which is kept all the same wherever it can be."""
        log.error("dispatch.settling_failed", target=self._target, fault=type(fault).__name__, where=where(fault))

    def _ended(self, flush: asyncio.Task[None]) -> None:
        self._flushes.discard(flush)
        if not flush.cancelled() and (fault := flush.exception()) is not None:
            self.failed(fault)
        self._settled()

    async def _write(self, items: list[Settlement]) -> None:
        try:
            counted = await self._ledger.submit(_settle_together, items)
        except LedgerError:
            # The ledger is away, or one of them can't be written: each by itself, until it is, or as much of it as can be.
            counted = await asyncio.gather(*(self._persist(item) for item in items))
        for item, in_time in zip(items, counted, strict=True):
            if not in_time:
                log.warning("dispatch.settled_late", target=self._target, delivery_id=item.delivery_id)

    async def _persist(self, item: Settlement) -> bool:
        # What was done at a target must not be forgotten because the ledger is away for a while.
        counted = False
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(LedgerError),
            wait=wait_random_exponential(multiplier=0.2, max=5),
            before_sleep=self._later,
            reraise=True,
        ):
            with attempt:
                try:
                    counted = await self._ledger.submit(claims.settle, item)
                except LedgerRefused as fault:
                    item = self._salvaged(item, fault)
                    raise
        return counted

    def _salvaged(self, item: Settlement, fault: LedgerRefused) -> Settlement:
        # Tried for ever as it is, it would keep its person out until the next start.
        log.error("dispatch.not_kept", target=self._target, delivery_id=item.delivery_id, fault=str(fault))
        return salvaged(item)

    def _later(self, state: RetryCallState) -> None:
        log.warning("dispatch.not_settled_yet", target=self._target, tries=state.attempt_number)


def _settle_together(unit: Unit, groups: Sequence[Sequence[Settlement]]) -> list[list[bool]]:
    counted = iter(claims.settle(unit, [item for group in groups for item in group]))
    return [[next(counted) for _ in group] for group in groups]
