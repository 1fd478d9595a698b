"""What an operator may do: one place, shared by console, API and command line. Every action is recorded with its author."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from bridge.contract.catalogue import Catalogue
from bridge.contract.errors import BridgeError
from bridge.contract.inbound import InboundAdapter
from bridge.contract.mail import MAILER
from bridge.dispatch.lane import Lane
from bridge.intake.merge import Merge, Refused, merge, undo
from bridge.intake.release import release
from bridge.intake.replan import elsewhere
from bridge.intake.replay import Replayable, prepare, replay
from bridge.intake.seat_revision import revise
from bridge.kit.clock import Clock, milliseconds
from bridge.ledger import lanes, lookups, quarantine, repairs, replays
from bridge.ledger import seats as kept_seats
from bridge.ledger.store import Ledger
from bridge.ledger.unit import Unit

MOST_EVENTS = 500
"""How many events are replayed in one transaction."""
LEFT = "left alone"
"""How what became of a dead letter begins that a bulk requeue does not touch."""
_LARGEST_ID = 2**63 - 1
_LOOKS, _BETWEEN_LOOKS = 120, 0.25  # seconds; together as long as a lease lasts


class ActionRefused(BridgeError):
    """The action can't be done as asked; the message says why."""


class Requeue(BaseModel):
    """Try dead letters again: these, a target's, or all; or the lookups that were given up: these, a source's, or all.

    Attributes:
        lookups: it is lookups that are meant.
        dry_run: only say which they are.
    """

    model_config = ConfigDict(extra="forbid")

    ids: tuple[int, ...] = ()
    target: str | None = None
    source: str | None = None
    lookups: bool = False
    every: bool = False
    dry_run: bool = False


class Dismiss(BaseModel):
    """End dead letters for good: these, settled at their targets by hand.

    Attributes:
        why: what was done there; kept with the delivery and with the action.
        dry_run: only say which they are.
    """

    model_config = ConfigDict(extra="forbid")

    ids: tuple[int, ...] = Field(min_length=1)
    why: str = Field(min_length=1, max_length=500)
    dry_run: bool = False


class RetryNow(BaseModel):
    """Try deliveries at once that wait for their next try; the count of tries goes on."""

    model_config = ConfigDict(extra="forbid")

    ids: tuple[int, ...]
    dry_run: bool = False


class ReleaseLines(BaseModel):
    """Accept quarantined lines whose product is mapped by now: these, a source's, a product's, or all."""

    model_config = ConfigDict(extra="forbid")

    ids: tuple[int, ...] = ()
    source: str | None = None
    product: str | None = None
    every: bool = False
    dry_run: bool = False


class LaneSwitch(BaseModel):
    """Pause or resume a target's lane; with ``dry_run`` only say whether it could be done."""

    model_config = ConfigDict(extra="forbid")

    target: str
    why: str = Field(default="", max_length=500)
    dry_run: bool = False


class ReplayEvents(BaseModel):
    """Understand events anew from their stored bytes: these, or a source's in one state.

    Attributes:
        state: as in ``bridge events``: ``accepted``, ``unreadable``, ``refused``.
        after: only events with greater ids than this, so that whoever asks for a part can go on where it ended.
        most: at most so many, the oldest; None for all that there are.
        dry_run: only say what would come of it.
    """

    model_config = ConfigDict(extra="forbid")

    ids: tuple[int, ...] = ()
    source: str | None = None
    state: str | None = None
    after: int = Field(default=0, ge=0, le=_LARGEST_ID)
    most: int | None = Field(default=None, ge=1)
    dry_run: bool = False


class ReviseSeats(BaseModel):
    """Take seats of an order line back: these numbers, or all that are open; with ``renew`` each gets a new link instead."""

    model_config = ConfigDict(extra="forbid")

    registration_id: int = Field(ge=1, le=2**63 - 1)
    numbers: tuple[int, ...] = ()
    every_open: bool = False
    renew: bool = False
    dry_run: bool = False


class MergeLearners(BaseModel):
    """Say that two learners are one person, or, with ``undo``, that they are not.

    Attributes:
        learner: who becomes somebody else.
        into: who they are; not needed to undo it.
        dry_run: only say what would come of it.
    """

    model_config = ConfigDict(extra="forbid")

    learner: int = Field(ge=1, le=_LARGEST_ID)
    into: int | None = Field(default=None, ge=1, le=_LARGEST_ID)
    undo: bool = False
    dry_run: bool = False


class Reload(BaseModel):
    """Read the configuration again."""

    model_config = ConfigDict(extra="forbid")


class Actions:
    """The actions on one ledger; with lanes when the daemon runs, without when a verb writes directly."""

    def __init__(
        self,
        ledger: Ledger,
        catalogue: Callable[[], Catalogue],
        clock: Clock,
        by_target: Mapping[str, Lane] | None = None,
        reload: Callable[[], Awaitable[Any]] | None = None,
        adapter: Callable[[str], InboundAdapter | None] = lambda _source: None,
    ) -> None:
        """Act on ``ledger``.

        Args:
            ledger: open for writing.
            catalogue: the mapping of today.
            clock: for the record.
            by_target: the lanes of the daemon.
            reload: reads the configuration again, where there is a daemon to do it.
            adapter: of a source, to read its events again.
        """
        self._ledger = ledger
        self._catalogue = catalogue
        self._clock = clock
        self._lanes = by_target if by_target is not None else {}
        self._reload = reload
        self._adapter = adapter
        self._known: dict[str, tuple[type[BaseModel], Callable[[Any, str], Awaitable[Any]]]] = {
            "requeue": (Requeue, self.requeue),
            "dismiss": (Dismiss, self.dismiss),
            "retry": (RetryNow, self.retry),
            "release": (ReleaseLines, self.release),
            "pause": (LaneSwitch, self.pause),
            "resume": (LaneSwitch, self.resume),
            "replay": (ReplayEvents, self.replay),
            "seats": (ReviseSeats, self.seats),
            "merge": (MergeLearners, self.merge),
            "reload": (Reload, self.reload),
        }

    async def act(self, name: str, arguments: Mapping[str, Any], operator: str) -> Any:
        """Do an action by name, with arguments as JSON.

        Raises:
            ActionRefused: there is no such action, or it can't be done as asked.
            pydantic.ValidationError: the arguments are wrong.
            LedgerError: the ledger did not take it.
        """
        if name not in self._known:
            raise ActionRefused(f"no such action; there are {', '.join(sorted(self._known))}")
        model, action = self._known[name]
        return await action(model.model_validate(arguments), _person(operator))

    async def requeue(self, wanted: Requeue, operator: str) -> list[dict[str, Any]]:
        """Open dead letters again; return them.

        Where the product leads to another course today, its purchase is planned anew instead. Of several, those are left
        whose being tried again would say that somebody has done by hand what they ask for.
        """
        if wanted.lookups:
            return await self._requeue_lookups(wanted, operator)
        if not (wanted.ids or wanted.target or wanted.every):
            raise ActionRefused("say which: delivery ids, --target NAME, or --all")
        now, catalogue = milliseconds(self._clock.now()), self._catalogue()

        def look(unit: Unit) -> tuple[dict[int, int], Sequence[Any]]:
            moved = elsewhere(unit, _parted(unit, wanted)[0], catalogue)
            return moved, replays.events(unit, sorted(set(moved.values())), None, None, 0) if moved else ()

        moved, events = await self._ledger.write(look)
        ready = {row.id: self._prepared(row, catalogue, now) for row in events}

        def work(unit: Unit) -> list[dict[str, Any]]:
            found, left = _parted(unit, wanted)
            became = _planned_anew(unit, found, moved, ready, dry_run=wanted.dry_run)
            again = [row for row in found if became.get(row.id, "").startswith("requeued") or row.id not in became]
            if not wanted.dry_run and found:
                repairs.requeue(unit, again, now)
                repairs.record(unit, operator, "requeue", ",".join(str(row.id) for row in found)[:500], "", now)
            became |= {row.id: f"{LEFT}: do by hand what it asks for, then requeue {row.id} by itself" for row in left}
            rows = sorted([*found, *left], key=lambda row: row.id)
            return [{**_delivery(row), "became": became.get(row.id, "requeued")} for row in rows]

        return await self._ledger.write(work)

    async def dismiss(self, wanted: Dismiss, operator: str) -> list[dict[str, Any]]:
        """End dead letters for good, as settled at the target by hand; return them."""
        now = milliseconds(self._clock.now())

        def work(unit: Unit) -> list[dict[str, Any]]:
            found = repairs.dead_letters(unit, wanted.ids, None)
            if not wanted.dry_run and found:
                repairs.dismiss(unit, found, wanted.why, now)
                subject = ",".join(str(row.id) for row in found)[:500]
                repairs.record(unit, operator, "dismiss", subject, wanted.why, now)
            return [_delivery(row) for row in found]

        return await self._ledger.write(work)

    async def retry(self, wanted: RetryNow, operator: str) -> list[dict[str, Any]]:
        """Let deliveries be due now; return those that were to wait."""
        now = milliseconds(self._clock.now())

        def work(unit: Unit) -> list[dict[str, Any]]:
            found = repairs.waiting_for_a_try(unit, wanted.ids, now)
            if not wanted.dry_run and found:
                repairs.hasten(unit, found, now)
                repairs.record(unit, operator, "retry", ",".join(str(row.id) for row in found)[:500], "", now)
            return [_delivery(row) for row in found]

        return await self._ledger.write(work)

    async def _requeue_lookups(self, wanted: Requeue, operator: str) -> list[dict[str, Any]]:
        if not (wanted.ids or wanted.source or wanted.every):
            raise ActionRefused("say which: lookup ids, --source NAME, or --all")
        now = milliseconds(self._clock.now())

        def work(unit: Unit) -> list[dict[str, Any]]:
            found = lookups.requeue(unit, wanted.ids, wanted.source, now, dry_run=wanted.dry_run)
            if not wanted.dry_run and found:
                repairs.record(unit, operator, "requeue", ",".join(f"lookup {row.id}" for row in found)[:500], "", now)
            return [
                {"lookup_id": row.id, "source": row.source, "event_id": row.event_id, "kind": row.kind, "why": row.why}
                for row in found
            ]

        return await self._ledger.write(work)

    async def release(self, wanted: ReleaseLines, operator: str) -> list[dict[str, Any]]:
        """Accept quarantined lines under today's mapping; return what became of each."""
        if not (wanted.ids or wanted.source or wanted.product or wanted.every):
            raise ActionRefused("say which: quarantine ids, --source NAME, --product ID, or --all")
        now = milliseconds(self._clock.now())
        catalogue = self._catalogue()

        def work(unit: Unit) -> list[dict[str, Any]]:
            done = [
                release(unit, row, catalogue.sources.get(row.source), catalogue, now, dry_run=wanted.dry_run)
                for row in quarantine.waiting(unit, wanted.ids, wanted.source, wanted.product)
                if row.kind != "seats" or row.id in wanted.ids  # a decision about people is made one by one
            ]
            if not wanted.dry_run and done:
                subject = ",".join(str(item.quarantine_id) for item in done)[:500]
                repairs.record(unit, operator, "release", subject, "", now)
            return [asdict(item) for item in done]

        return await self._ledger.write(work)

    async def pause(self, wanted: LaneSwitch, operator: str) -> dict[str, Any]:
        """Stop a target's lane until it is resumed; what is queued stays."""
        self._check_target(wanted.target)
        if wanted.dry_run:
            return {"target": wanted.target}
        now = milliseconds(self._clock.now())

        def work(unit: Unit) -> None:
            lanes.pause(unit, wanted.target, operator, wanted.why, "", now)
            repairs.record(unit, operator, "pause", wanted.target, wanted.why, now)

        await self._ledger.write(work)
        if (lane := self._lanes.get(wanted.target)) is not None:
            lane.pause(operator)
        return {"target": wanted.target, "paused": True}

    async def resume(self, wanted: LaneSwitch, operator: str) -> dict[str, Any]:
        """Let a target's lane go on."""
        self._check_target(wanted.target)
        if wanted.dry_run:
            return {"target": wanted.target}
        now = milliseconds(self._clock.now())

        def work(unit: Unit) -> bool:
            was_paused = lanes.resume(unit, wanted.target)
            repairs.record(unit, operator, "resume", wanted.target, wanted.why, now)
            return was_paused

        was_paused = await self._ledger.write(work)
        if (lane := self._lanes.get(wanted.target)) is not None:
            lane.resume()
        return {"target": wanted.target, "paused": False, "was_paused": was_paused}

    async def replay(self, wanted: ReplayEvents, operator: str) -> list[dict[str, Any]]:
        """Understand events anew by today's adapters and mapping; return what became of each, oldest first.

        However many they are, a transaction holds only some of them; what one has written stays if a later one fails.
        """
        if not (wanted.ids or (wanted.source and wanted.state)):
            raise ActionRefused("say which: event ids, or --source NAME with --state STATE")
        done: list[dict[str, Any]] = []
        after, left = wanted.after, wanted.most
        while left is None or left > 0:
            most = MOST_EVENTS if left is None else min(left, MOST_EVENTS)
            some = await self._replay(wanted, after, most, operator)
            done += some
            if len(some) < most:
                break
            after, left = some[-1]["event_id"], None if left is None else left - len(some)
        return done

    async def _replay(self, wanted: ReplayEvents, after: int, most: int, operator: str) -> list[dict[str, Any]]:
        now, catalogue = milliseconds(self._clock.now()), self._catalogue()
        rows = await self._ledger.write(
            lambda unit: replays.events(unit, wanted.ids, wanted.source, wanted.state, most, after)
        )
        ready = [self._prepared(row, catalogue, now) for row in rows]

        def work(unit: Unit) -> list[dict[str, Any]]:
            done = [replay(unit, one, dry_run=wanted.dry_run) for one in ready]
            if not wanted.dry_run and done:
                subject = ",".join(str(item.event_id) for item in done)[:500]
                repairs.record(unit, operator, "replay", subject, "", now)
            return [asdict(item) for item in done]

        return await self._ledger.write(work)

    async def seats(self, wanted: ReviseSeats, operator: str) -> list[dict[str, Any]]:
        """Take seats of an order line back, or give them new links; return what became of each."""
        if bool(wanted.numbers) is wanted.every_open:
            raise ActionRefused("say which: seat numbers, or all that are open")
        now, catalogue = milliseconds(self._clock.now()), self._catalogue()
        line = wanted.registration_id

        def work(unit: Unit) -> list[dict[str, Any]] | None:
            if not kept_seats.of_lines(unit, [line]):
                return None
            done = revise(unit, line, wanted.numbers, catalogue, now, renew=wanted.renew, dry_run=wanted.dry_run)
            changed = [one for one in done if one.became != "unchanged"]
            if not wanted.dry_run and changed:
                note = f"{changed[0].became} {', '.join(str(one.number) for one in changed)}"
                repairs.record(unit, operator, "seats", str(line), note[:500], now)
            return [asdict(one) for one in done]

        if (found := await self._ledger.write(work)) is None:
            raise ActionRefused(f"registration {line} has no seats")
        return found

    async def merge(self, wanted: MergeLearners, operator: str) -> dict[str, Any]:
        """Let two learners be one person, or undo it; return what changes hands. Idempotent.

        While a CRM is just being told of the one, it is waited for, up to half a minute.
        """
        if wanted.undo is (wanted.into is not None):
            raise ActionRefused("say whom to merge into whom: two learner ids; or --undo and the one that was merged")
        done = await self._merge(wanted, operator)
        for _ in range(_LOOKS):
            if not (isinstance(done, Refused) and done.passing):
                break
            await asyncio.sleep(_BETWEEN_LOOKS)
            done = await self._merge(wanted, operator)
        if isinstance(done, Refused):
            raise ActionRefused(done.why)
        return asdict(done)

    async def _merge(self, wanted: MergeLearners, operator: str) -> Merge | Refused:
        now, catalogue = milliseconds(self._clock.now()), self._catalogue()

        def change(unit: Unit) -> Merge | Refused:
            if wanted.into is None:
                return undo(unit, wanted.learner, catalogue, operator, now)
            return merge(unit, wanted.learner, wanted.into, catalogue, operator, now)

        def work(unit: Unit) -> Merge | Refused:
            if wanted.dry_run:
                with unit.taken_back():
                    return change(unit)
            done = change(unit)
            if isinstance(done, Merge) and done.became != "unchanged":
                _record_merge(unit, done, operator, now)
            return done

        return await self._ledger.write(work)

    async def reload(self, _: Reload, operator: str) -> Any:
        """Let the daemon read its configuration again; return what is different."""
        if self._reload is None and self._ledger.shared:
            raise ActionRefused("any number of bridges may run on this ledger: tell each of them by SIGHUP")
        if self._reload is None:
            raise ActionRefused("no daemon runs on this ledger; the configuration is read when one starts")
        done = await self._reload()
        now = milliseconds(self._clock.now())
        await self._ledger.write(lambda unit: repairs.record(unit, operator, "reload", "", "", now))
        return done

    def _prepared(self, row: Any, catalogue: Catalogue, now: int) -> Replayable:
        return prepare(row, catalogue.sources.get(row.source), self._adapter(row.source), catalogue, now)

    def _check_target(self, name: str) -> None:
        catalogue = self._catalogue()
        known: Sequence[str] = sorted([*catalogue.targets, *([MAILER] if catalogue.mailer is not None else [])])
        if name not in known:
            raise ActionRefused(f"no such target; there are {', '.join(known) or 'none'}")


def _delivery(row: Any) -> dict[str, Any]:
    return {
        "delivery_id": row.id,
        "target": row.target,
        "registration_id": row.registration_id,
        "why": row.why or "",
    }


def _parted(unit: Unit, wanted: Requeue) -> tuple[list[Any], list[Any]]:
    """Return the dead letters that are meant: those to be tried again, and those to be left because many are meant."""
    found = repairs.dead_letters(unit, wanted.ids, wanted.target)
    if len(set(wanted.ids)) == 1:
        return found, []
    left = {row.id: row for row in found if repairs.asks_for_a_hand(row)}
    return [row for row in found if row.id not in left], list(left.values())


def _planned_anew(
    unit: Unit, found: Sequence[Any], moved: Mapping[int, int], ready: Mapping[int, Replayable], *, dry_run: bool
) -> dict[int, str]:
    """Plan the purchases of these dead letters anew that lead elsewhere today; say what became of each."""
    wanted = {row.id: moved[row.id] for row in found if moved.get(row.id) in ready}
    done = {event_id: replay(unit, ready[event_id], dry_run=dry_run) for event_id in sorted(set(wanted.values()))}
    became = {}
    for delivery_id, event_id in wanted.items():
        one = done[event_id]
        if one.became == "replayed" and one.lookups:
            became[delivery_id] = f"planned anew once the sender has told of event {event_id} again"
        elif one.became == "replayed":
            became[delivery_id] = f"planned anew from event {event_id}"
        else:
            became[delivery_id] = f"requeued for the former course: event {event_id} {one.note or 'gives no other'}"
    return became


def _record_merge(unit: Unit, done: Merge, operator: str, now: int) -> None:
    one, other = done.learner["learner_id"], done.into["learner_id"]
    action, how = ("unmerge", "not ") if done.became == "undone" else ("merge", "")
    note = f"learner {one} is {how}the same person as learner {other}"
    repairs.record(unit, operator, action, f"{one},{other}", note, now)


def _person(operator: str) -> str:
    # The service's user is often called that, and a pause by "bridge" is the bridge's own: it would end it by itself.
    return "user bridge" if operator == "bridge" else operator
