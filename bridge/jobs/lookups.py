"""Asks senders what their thin events mean: in the background, one source beside the other, until they answer.

The event is on disk before the first question; a sender's API that is down delays a purchase and never loses it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import structlog

from bridge.contract.catalogue import SourceEntry
from bridge.contract.errors import LedgerError, PayloadInvalid, TransportFault
from bridge.contract.inbound import Enriches, Lookup, Meaning, Unreadable
from bridge.contract.outbound import NeedsOperator, Refused, Repeat, TryLater
from bridge.dispatch.attempt import where
from bridge.dispatch.retry import RetryPolicy, decide
from bridge.intake.intake import Intake
from bridge.intake.stored import event_of
from bridge.kit.clock import Clock, milliseconds
from bridge.kit.http import Http
from bridge.kit.masking import mask_text
from bridge.ledger import lookups
from bridge.ledger.store import Ledger
from bridge.ledger.unit import Unit

log = structlog.get_logger(__name__)

_LOOK_AGAIN = 60.0  # seconds until a source whose credentials are refused is asked again
_AFTER_TROUBLE = 1.0
_REQUESTS = 4  # what one lookup may take, one after the other

Observer = Callable[[str, str], None]
"""Told of every lookup: source, outcome."""


@dataclass(frozen=True, slots=True)
class LookupPolicy:
    """How lookups are made. Seconds.

    Attributes:
        timeout: of one request; a lookup may make several.
    """

    concurrency: int
    timeout: float
    retry: RetryPolicy


class Lookups:
    """The lookups of one source. :meth:`run` goes on until it is cancelled: what is under way then is made again."""

    def __init__(
        self,
        source: SourceEntry,
        adapter: Enriches,
        ledger: Ledger,
        intake: Intake,
        http: Http,
        policy: LookupPolicy,
        clock: Clock,
        observe: Observer,
    ) -> None:
        """Wire it; nothing runs yet."""
        self._source = source
        self._adapter = adapter
        self._ledger = ledger
        self._intake = intake
        self._http = http
        self._policy = policy
        self._clock = clock
        self._observe = observe
        self._deadline = policy.timeout * _REQUESTS
        self._stir = asyncio.Event()
        self._asking: set[asyncio.Task[None]] = set()
        self._next_due: int | None = None

    def wake(self, names: frozenset[str]) -> None:
        """Look whether there is work, when these names were woken by a commit."""
        if lookups.wake_name(self._source.name) in names:
            self._stir.set()

    async def tick(self) -> None:
        """Look whether there is work: the safety net."""
        self._stir.set()

    async def run(self) -> None:
        """Make what is due, and wait until something is."""
        try:
            while True:
                self._stir.clear()
                try:
                    await self._take()
                except LedgerError as fault:
                    log.warning("lookups.ledger_away", source=self._source.name, fault=str(fault))
                    await asyncio.sleep(_AFTER_TROUBLE)
                    continue
                except Exception as fault:  # noqa: BLE001 - a loop that has ended asks for nobody
                    self._failed(fault)
                    await asyncio.sleep(_AFTER_TROUBLE)
                    continue
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._pause()):
                        await self._stir.wait()
        finally:
            for task in self._asking:
                task.cancel()
            await asyncio.gather(*self._asking, return_exceptions=True)

    async def _take(self) -> None:
        free = self._policy.concurrency - len(self._asking)
        now, lease = milliseconds(self._clock.now()), int((self._deadline + 10) * 1000)

        def claim(unit: Unit) -> tuple[list[tuple[Any, Any]], int | None]:
            rows = lookups.claim(unit, self._source.name, now, lease, free) if free > 0 else []
            claimed = [(row, lookups.event_of(unit, row.event_id)) for row in rows]
            return claimed, lookups.next_due(unit, self._source.name)

        claimed, self._next_due = await self._ledger.write(claim)
        for row, kept in claimed:
            task = asyncio.create_task(self._ask(row, kept), name=f"lookup:{self._source.name}")
            self._asking.add(task)
            task.add_done_callback(self._asked)

    def _asked(self, task: asyncio.Task[None]) -> None:
        self._asking.discard(task)
        self._stir.set()

    def _pause(self) -> float | None:
        if self._next_due is None or len(self._asking) >= self._policy.concurrency:
            return None
        return max(0.0, (self._next_due - milliseconds(self._clock.now())) / 1000)

    async def _ask(self, row: Any, kept: Any) -> None:
        event, began = event_of(kept), self._clock.monotonic()
        answer = await self._answer(row, event)
        if isinstance(answer, TryLater | NeedsOperator | Refused):
            outcome = type(answer).__name__
            await self._put_off(row, answer, self._clock.monotonic() - began)
        else:
            outcome = "found"
            try:
                found = await self._intake.accept_found(self._source, row.event_id, answer, event, row.id)
            except LedgerError as fault:  # due again when its lease is over
                log.warning("lookups.ledger_away", source=self._source.name, fault=str(fault))
                return
            except Exception as fault:  # noqa: BLE001 - what was found can't be kept: a person has to look
                await self._put_off(row, self._failed(fault), self._clock.monotonic() - began)
                return
            log.info(
                "lookups.found",
                source=self._source.name,
                lookup_id=row.id,
                event_id=row.event_id,
                kind=row.kind,
                registrations=found,
            )
        self._observe(self._source.name, outcome)

    async def _answer(self, row: Any, event: Any) -> Sequence[Meaning] | TryLater | NeedsOperator | Refused:
        try:
            async with asyncio.timeout(self._deadline):
                return await self._adapter.look_up(event, Lookup(row.kind, row.key), self._http)
        except TransportFault as fault:
            return TryLater(str(fault), cause="outage")
        except TimeoutError:
            return TryLater(f"not answered within {self._deadline:g} s", cause="outage")
        except PayloadInvalid as fault:
            return [Unreadable(f"{row.kind} {row.key}", fault.faults)]
        except Exception as fault:  # noqa: BLE001 - whatever an adapter does, the other lookups go on
            return self._failed(fault)

    def _failed(self, fault: Exception) -> NeedsOperator:
        name = type(fault).__name__
        log.error("lookups.adapter_failed", source=self._source.name, fault=name, where=where(fault))
        remedy = "A defect of the adapter: the log says where. Have it mended, then requeue the lookup."
        return NeedsOperator(f"the adapter failed: {name}", remedy)

    async def _put_off(self, row: Any, answer: TryLater | NeedsOperator | Refused, took: float) -> None:
        chance = random.random()  # noqa: S311 - spreads retries, guards nothing
        following = decide(answer, row.attempts, row.age / 1000, Repeat.LOOKUP, self._policy.retry, chance)
        # With refused credentials the lookup itself is as good as before; asking at once would not help.
        delay = max(following.delay, _LOOK_AGAIN) if isinstance(answer, NeedsOperator) else following.delay
        now = milliseconds(self._clock.now())
        put_off = lookups.Unanswered(
            id=row.id,
            state="dead" if following.result == "dead" else "open",
            due_at=now + int(delay * 1000),
            attempts=following.attempts,
            age=int(following.age * 1000),
            why=mask_text(following.why)[:500],
            remedy=following.remedy,
        )
        log.warning(
            "lookups.put_off",
            source=self._source.name,
            lookup_id=row.id,
            event_id=row.event_id,
            kind=row.kind,
            follows=put_off.state,
            delay=round(delay, 1),
            why=put_off.why,
            ms=int(took * 1000),
        )
        try:
            await self._ledger.write(lambda unit: lookups.put_off(unit, [put_off], now))
        except LedgerError as fault:
            log.warning("lookups.ledger_away", source=self._source.name, fault=str(fault))
