"""The queue of one target: it claims, delivers and settles, at its own pace, whatever becomes of other targets."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import structlog

from bridge.contract.catalogue import Catalogue, TargetEntry
from bridge.contract.errors import LedgerError
from bridge.contract.outbound import OutboundConnector, Outcome, TryLater, Work
from bridge.dispatch.access import first_access
from bridge.dispatch.attempt import deliver, took_something, veil_story, veiled, where
from bridge.dispatch.breaker import BreakerPolicy
from bridge.dispatch.condition import Condition
from bridge.dispatch.nothing import Nothing
from bridge.dispatch.retry import RetryPolicy
from bridge.dispatch.returns import Returns
from bridge.dispatch.settle import buried, nothing
from bridge.dispatch.settler import Settler, ids
from bridge.dispatch.traced import Attempts
from bridge.dispatch.work import compute, forbidden
from bridge.kit.clock import Clock, milliseconds
from bridge.kit.http import Exchange
from bridge.kit.masking import spellings
from bridge.kit.tracing import Tracer
from bridge.ledger import claims, lanes
from bridge.ledger.claimed import Claimed
from bridge.ledger.claims import ClaimRequest, Settlement
from bridge.ledger.store import Ledger
from bridge.ledger.unit import Unit

log = structlog.get_logger(__name__)

Observer = Callable[[str, str, str, float], None]
"""Told of every attempt: target, operation, outcome, seconds."""

Arrival = Callable[[str, str, float], None]
"""Told when a target first lets a buyer in: source, target, seconds since the purchase."""

_LARGEST_CLAIM = 100
_AHEAD = (
    0.2  # seconds of work that are claimed before there is a slot for it: commits are shared, and little goes stale
)
_UNSETTLED = 64  # calls that may be on their way to disk while others go out
_LOOK_AGAIN_MS = 1_000


@dataclass(frozen=True, slots=True)
class LanePolicy:
    """How a lane works. Seconds.

    Attributes:
        deadline: for one call of the connector; shorter than ``lease``.
        tick: the safety net; the lane is woken by commits, not by looking.
        reprobe: how often a lane that the bridge paused itself is tried again.
    """

    concurrency: int = 8
    deadline: float = 25.0
    lease: float = 30.0
    tick: float = 30.0
    reprobe: float = 300.0
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    breaker: BreakerPolicy = field(default_factory=BreakerPolicy)


@dataclass(frozen=True, slots=True)
class _Ready:
    claimed: Claimed
    work: Work


@dataclass(frozen=True, slots=True)
class _Call:
    """A call of the connector that is under way. ``story``: its exchanges; empty while no request has gone out."""

    batch: list[_Ready]
    story: list[Exchange] = field(default_factory=list)


class Lane:
    """One target's lane. :meth:`run` goes on until :meth:`drain`.

    Attributes:
        turns: of the loop. An idle lane takes none but for the tick.
        owner: whose leases its deliveries are under.
    """

    def __init__(  # noqa: PLR0913 - wiring; all of it is needed
        self,
        target: TargetEntry,
        connector: OutboundConnector,
        ledger: Ledger,
        catalogue: Callable[[], Catalogue],
        policy: LanePolicy,
        clock: Clock,
        owner: str,
        observe: Observer = lambda _target, _operation, _outcome, _seconds: None,
        *,
        arrived: Arrival = lambda _source, _target, _seconds: None,
        secrets: Iterable[str] = (),
        tracer: Tracer | None = None,
    ) -> None:
        """Wire the lane; nothing runs yet. ``secrets``: the target's, which nothing kept or logged may show."""
        self.target = target
        self.connector = connector
        longest_hold = policy.retry.longest_hint.total_seconds()
        self.condition = Condition(target.name, policy.concurrency, policy.breaker, longest_hold, policy.reprobe, clock)
        self.turns = 0
        self._settler = Settler(
            target.name,
            connector.operations,
            policy.retry,
            ledger,
            is_busy=lambda: bool(self._ready),
            settled=self._go_on,
        )
        self._returns = Returns(ledger, clock)
        self._ledger = ledger
        self._catalogue = catalogue
        self._policy = policy
        self._clock = clock
        self.owner = owner
        self._observe = observe
        self._arrived = arrived
        self._secrets = spellings(secrets)
        self._tracer = tracer
        self._stir = asyncio.Event()
        self._at_rest = asyncio.Event()
        self._at_rest.set()
        self._ready: deque[_Ready] = deque()
        self._tasks: dict[asyncio.Task[None], _Call] = {}  # that have no outcome yet
        self._in_flight = 0
        self._probe: asyncio.Task[None] | None = None
        self._dry = False
        self._woken = False
        self._next_due: int | None = None
        self._started = 0  # deliveries since the last claim
        self._claimed_at = clock.monotonic()
        self._ahead = 0
        self._draining = False

    @property
    def in_flight(self) -> int:
        """Calls of the connector that are under way."""
        return self._in_flight

    @property
    def unsettled(self) -> int:
        """Calls that are under way, or whose outcome is on its way to disk."""
        return self._in_flight + self._settler.unsettled

    @property
    def paused_by(self) -> str | None:
        """Who paused the lane: ``bridge``, an operator's name, or None."""
        return self.condition.paused_by

    @property
    def status(self) -> str:
        """``running``, ``paused`` or ``open`` (the breaker)."""
        return self.condition.status

    def wake(self) -> None:
        """There is, or may be, work."""
        self._dry = False
        self._woken = True
        self._stir.set()

    def pause(self, by: str) -> None:
        """Stop claiming; what is under way ends."""
        self.condition.pause(by)
        self._stir.set()

    def resume(self) -> None:
        """Go on, as if the target had never failed."""
        self.condition.resume()
        self.wake()

    async def let_go(self) -> None:
        """Begin nothing of what was claimed: its leases may be somebody else's by now."""
        unbegun = [task for task, call in self._tasks.items() if not call.story]
        for task in unbegun:
            task.cancel()
        await asyncio.gather(*unbegun, return_exceptions=True)
        await self._give_back()

    async def run(self) -> None:
        """Work until drained. A ledger that is away is waited for, and no fault of one turn ends the loop."""
        self._at_rest.clear()
        try:
            while not self._draining:
                self._stir.clear()
                self.turns += 1
                try:
                    await (self._work() if self.condition.may_deliver else self._rest())
                except LedgerError as fault:
                    log.warning("lane.ledger_away", target=self.target.name, fault=str(fault))
                    await asyncio.sleep(1.0)
                except Exception as fault:  # noqa: BLE001 - a lane that has ended delivers to nobody
                    log.error(  # noqa: TRY400 - the message may quote learner data
                        "lane.turn_failed", target=self.target.name, fault=type(fault).__name__, where=where(fault)
                    )
                    await asyncio.sleep(1.0)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stir.wait(), self._patience())
        finally:
            self._at_rest.set()

    async def drain(self) -> None:
        """Stop claiming, let what is in flight end and be settled, give back what was not begun.

        A call that still waits for its first rate token has not begun. One that outlasts its deadline, or a settlement
        that a ledger which is away doesn't take, is left to its lease: when that is over, or at the next start, it is taken
        up as unknown.
        """
        self._draining = True
        self._stir.set()
        for task in [task for task, call in self._tasks.items() if not call.story]:
            task.cancel()
        if self._probe is not None:
            self._probe.cancel()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._at_rest.wait(), 5.0)
        tasks = [*self._tasks, *([self._probe] if self._probe is not None else [])]
        patience, began = self._policy.deadline + 5.0, self._clock.monotonic()
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=patience)
            for task in late:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        await self._settler.stop(began + patience - self._clock.monotonic())
        with suppress(LedgerError):
            await self._give_back()

    def _patience(self) -> float:
        """Seconds until there is something to do without being woken."""
        waits = [self._policy.tick]
        if not self.condition.may_deliver:
            if self.condition.hold:
                waits.append(self.condition.hold)
            if (probe := self.condition.until_probe) is not None and not self._probing:
                waits.append(probe)
        elif self._wish():
            if not self._dry:
                return 0.0
            if self._next_due is not None:
                waits.append((self._next_due - milliseconds(self._clock.now())) / 1000)
        return max(0.0, min(waits))

    async def _work(self) -> None:
        if self.condition.recovered:
            await self._tell_recovery()
        await self._fill()
        self._start()

    async def _rest(self) -> None:
        if self.condition.until_probe == 0 and not self._probing:
            self._probe = asyncio.create_task(self._check(), name=f"probe:{self.target.name}")
        await self._give_back()
        if (needs := self.condition.untold) is not None:
            now = milliseconds(self._clock.now())
            await self._ledger.write(
                lambda unit: lanes.pause(unit, self.target.name, "bridge", needs.why, needs.remedy, now)
            )
            if self.condition.untold is needs:
                self.condition.untold = None

    def _wish(self) -> int:
        """Return how many deliveries to claim now: none until half of what was claimed ahead has gone out."""
        size = self.connector.batch_size
        free = max(0, self.condition.pace.slots - self._in_flight) * size
        full = free + max(self._ahead, self.condition.pace.slots * size // 2)
        have = len(self._ready)
        return min(full - have, max(_LARGEST_CLAIM, size * 2)) if have * 2 <= full else 0

    async def _fill(self) -> None:
        """Claim ahead of the free slots, so that the ledger's round trips are shared by many deliveries."""
        if await self._returns.settle():
            self._dry = False
        limit, now = self._wish(), milliseconds(self._clock.now())
        due = self._next_due is not None and self._next_due <= now
        if not limit or (self._dry and not due):
            return
        self._measure()
        lease = int(self._policy.lease * 1000)
        request = ClaimRequest(self.target.name, limit, self.owner, now, lease, self.target.known_by == "email")
        self._dry = self._woken = False
        try:
            claim = await self._ledger.submit(claims.claim, request)
        except LedgerError:
            self._returns.doubtful(request.lease)
            raise
        # A commit that came while the claim was under way may have brought what the claim did not see.
        self._dry = len(claim.claimed) < limit and not self._woken
        self._next_due = claim.next_due
        if self._next_due is not None and self._next_due <= now:
            # What is due and was not claimed is another delivery's person: a settlement will wake us. This is the net.
            self._next_due = now + _LOOK_AGAIN_MS
        self._sort(claim.claimed)

    def _measure(self) -> None:
        at = self._clock.monotonic()
        per_second = self._started / max(at - self._claimed_at, 0.001)
        self._ahead = min(int(per_second * _AHEAD), max(_LARGEST_CLAIM, self.connector.batch_size))
        self._claimed_at, self._started = at, 0

    def _sort(self, claimed: Sequence[Claimed]) -> None:
        catalogue, at = self._catalogue(), milliseconds(self._clock.now())
        settled: list[Settlement] = []
        for item in claimed:
            try:
                work = compute(item, self.target, self.connector.operations, catalogue)
            except Exception as fault:  # noqa: BLE001 - one row that can't be read must not stop the others
                settled.append(self._settler.defect(item, fault, "the work can't be computed", at=at))
                continue
            if isinstance(work, Nothing):
                settled.append(nothing(item, work, at=at))
            elif (reason := forbidden(item, work, self.connector.operations)) is not None:
                log.warning("lane.forbidden", target=self.target.name, **ids(item), why=reason[0])
                settled.append(buried(item, *reason, at=at))
            else:
                self._ready.append(_Ready(item, work))
        if settled:
            self._settler.settle(lambda: settled)

    def _start(self) -> None:
        """Let go out what there is a slot for."""
        slots = self.condition.pace.slots
        while (
            self._ready
            and self._in_flight < slots
            and self.unsettled < slots + _UNSETTLED
            and not self._draining
            and self.condition.may_deliver
        ):
            call = _Call([self._ready.popleft() for _ in range(min(self.connector.batch_size, len(self._ready)))])
            self._in_flight += 1
            self._started += len(call.batch)
            task = asyncio.create_task(self._deliver(call), name=f"deliver:{self.target.name}")
            self._tasks[task] = call
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if (call := self._tasks.pop(task, None)) is not None:  # cancelled before there was an outcome
            self._in_flight -= 1
            if not call.story:
                self._ready.extend(call.batch)
            self._go_on()
        if not task.cancelled() and (fault := task.exception()) is not None:
            self._settler.failed(fault)

    def _go_on(self) -> None:
        """A slot is free: use it at once, and take a turn of the loop only where one is needed."""
        self._start()
        waiting = not self._dry or self._next_due is not None
        if not self.condition.may_deliver or self.condition.recovered or (waiting and self._wish()):
            self._stir.set()

    async def _deliver(self, call: _Call) -> None:
        at, started = milliseconds(self._clock.now()), self._clock.monotonic()
        works = [item.work for item in call.batch]
        attempts = Attempts(self._tracer, self.target.name, [(item.claimed, item.work) for item in call.batch])
        with attempts.together():
            told = await deliver(self.connector, works, self._policy.deadline, call.story)
        seconds = self._clock.monotonic() - started
        outcomes = veiled(told, works, self._secrets)
        if (task := asyncio.current_task()) is not None:
            del self._tasks[task]
        self._in_flight -= 1
        try:
            self.condition.felt(outcomes)
        except Exception as fault:  # noqa: BLE001 - a connector's defect; the delivery is settled all the same
            self._settler.failed(fault)
        self._go_on()
        attempts.ended(outcomes)
        self._settler.settle(lambda: self._judged(call, outcomes, attempts, at, seconds))

    def _judged(
        self, call: _Call, outcomes: Sequence[Outcome], attempts: Attempts, at: int, seconds: float
    ) -> list[Settlement]:
        """Return what is to be written of a call that began ``at`` milliseconds and took so many seconds, and tell who observes."""
        try:
            settlements = self._settlements(call, outcomes, attempts, at, int(seconds * 1000))
        except Exception as fault:  # noqa: BLE001 - unsettled, they would block their people until the next start
            return [
                self._settler.defect(item.claimed, fault, "the outcome can't be judged", at=at) for item in call.batch
            ]
        for item, outcome, settled in zip(call.batch, outcomes, settlements, strict=True):
            try:
                self._observe(self.target.name, item.work.operation.value, settled.outcome, seconds)
                if (access := first_access(item.claimed, item.work, outcome, at=settled.at + settled.ms)) is not None:
                    self._arrived(access[0], self.target.name, access[1])
            except Exception as fault:  # noqa: BLE001 - who fails to hear of an outcome is not to cost anybody theirs
                self._settler.failed(fault)
        return settlements

    def _settlements(
        self, call: _Call, outcomes: Sequence[Outcome], attempts: Attempts, at: int, ms: int
    ) -> list[Settlement]:
        settlements, touched = [], took_something(call.story)
        veil_story(call.story, [item.work for item in call.batch], self._secrets)
        others = [Exchange("BATCH", f"delivery {call.batch[0].work.delivery_id}")]
        for place, (item, outcome) in enumerate(zip(call.batch, outcomes, strict=True)):
            told = call.story if place == 0 else others
            with attempts.one(place):
                settled = self._settler.judged(item.claimed, item.work, outcome, told, at=at, ms=ms, touched=touched)
            settlements.append(settled)
        return settlements

    @property
    def _probing(self) -> bool:
        return self._probe is not None and not self._probe.done()

    async def _check(self) -> None:
        """Ask the target with one harmless request whether it is well again."""
        try:
            async with asyncio.timeout(self._policy.deadline):
                (outcome,) = veiled([await self.connector.check()], (), self._secrets)
        except (asyncio.CancelledError, KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as fault:  # noqa: BLE001 - any fault says the same: not well yet
            outcome = TryLater(type(fault).__name__, cause="outage")
        self.condition.probed(outcome)
        self.wake()

    async def _tell_recovery(self) -> None:
        """What was put off because of the outage is due now, not in hours; and the lane is no longer paused."""

        def well(unit: Unit) -> None:
            lanes.forgive(unit, self.target.name)
            claims.expedite(unit, self.target.name, milliseconds(self._clock.now()))

        self.condition.recovered = False
        # What failed before the probe was good may still be on its way to disk: brought forward now, it would be missed.
        await self._settler.written()
        try:
            await self._ledger.write(well)
        except LedgerError:
            self.condition.recovered = True
            raise
        self._dry = False

    async def _give_back(self) -> None:
        self._returns.unbegun(item.claimed for item in self._ready)
        self._ready.clear()
        if await self._returns.settle():
            self._dry = False
