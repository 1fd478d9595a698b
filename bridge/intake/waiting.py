"""What waits in quarantine of a purchase that is changed meanwhile: the change reaches it as it reaches what is mapped.

What takes it back ends its wait for good, whatever is mapped later and however old the event that tells of it again. What
suspends it, lets it live again or ends it later waits beside it, line by line, until it is released.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from bridge.contract.command import Action, EnrollmentCommand, Item
from bridge.intake import early, later, money
from bridge.intake import people as persons
from bridge.intake.result import Entry
from bridge.kit.clock import milliseconds
from bridge.ledger import purchases, quarantine
from bridge.ledger.quarantine import QuarantineRow
from bridge.ledger.unit import Unit
from bridge.ledger.words import Word

NOTE = "waits with a line of its order that is not mapped, and is applied by itself when that is released"
_TAKING = (Action.CANCEL, Action.REFUND)


def lines(unit: Unit, entry: Entry, keys: Collection[str]) -> list[Any]:
    """Return the waiting lines that a command means: of the purchases with these business keys, else of its learner.

    Of its own source, and of those that report the same orders.
    """
    command, source = entry.plan.command, entry.member.source
    found: Sequence[Any] = ()
    if keys:
        scope = source.business_scope
        names = {one.name for one in entry.member.catalogue.sources.values() if one.business_scope == scope}
        found = quarantine.of_purchases(unit, {*names, source.name} if source.joined else {source.name}, keys)
    elif command.learner is not None and command.registration_id is None and command.action in _TAKING:
        found = quarantine.of_learner(unit, source.name, persons.learner_key(command.learner, source))
    return [row for row in found if not command.items or any(_means(item, row) for item in command.items)]


def _means(item: Item, row: Any) -> bool:
    return row.remote_product_id == item.remote_product_id or (item.line != "" and item.line == row.line)


def take_back(unit: Unit, entry: Entry, found: Sequence[Any]) -> list[Any]:
    """End the wait of lines whose purchase is taken back; return the registrations that keep that.

    Without a business key the next call of the sender is a purchase of its own, and there is nothing to keep.
    """
    at, now = milliseconds(entry.plan.command.occurred_at), entry.member.now
    ended = [row for row in found if not row.business_key or row.occurred_at <= at]
    made = early.keep_waiting(unit, entry, [row for row in ended if row.business_key])
    note = f"event {entry.event_id} {quarantine.TAKEN_BACK}"
    quarantine.take_back(unit, {row.id: made[row.id].id if row.id in made else None for row in ended}, at, note, now)
    beside = quarantine.end_beside(unit, ended, note, now)
    purchases.unpark(unit, [row.id for row in beside])
    kept = {(row.source, row.business_key, row.line): made[row.id].id for row in ended if row.id in made}
    money.keep_first(unit, _said_beside(unit, beside, kept))
    return list({row.id: row for row in made.values()}.values())


def _said_beside(
    unit: Unit, beside: Sequence[Any], kept: Mapping[tuple[str, str, str], int]
) -> Iterator[tuple[int, Word]]:
    """Yield what has waited beside lines that are taken back: a dispute is none the less, should the refund fail."""
    for row in beside:
        registration_id = kept.get((row.source, row.business_key, row.line))
        command = EnrollmentCommand.model_validate_json(row.command)
        units = any(item.returned is not None for item in command.items)
        if registration_id is not None and not units and not later.puts_off(command):
            yield registration_id, money.word_of(unit, command, row.event_id, row.source)


def split(entry: Entry, found: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """Return the lines that a command takes back now, and those that it waits beside.

    How many units of a line stay when some come back is told by the purchase alone. So is what a line will be called that
    several sources may tell of: nothing could be kept under its name, and if the refund fails it has to wait still.
    """
    command = entry.plan.command
    if command.action not in _TAKING or later.puts_off(command):
        return [], list(found)
    if entry.member.source.joined:
        return [row for row in found if not row.business_key], [row for row in found if row.business_key]
    units = [item for item in command.items if item.returned is not None]
    beside = [row for row in found if any(_means(item, row) for item in units)]
    return [row for row in found if row not in beside], beside


def unnamed(entry: Entry, absent: Collection[Item], beside: Sequence[Any]) -> list[Item]:
    """Return the lines of a command of which nobody can say yet what they are in an order that its source did not tell of.

    Where several sources report one order, that is said by the courses, and so by the mapping of the product.
    """
    if not entry.member.source.joined:
        return []
    unmapped = [item for item in absent if item in entry.plan.unmapped]
    return [item for item in unmapped if not any(_means(item, row) for row in beside)]


def put_beside(unit: Unit, entry: Entry, found: Sequence[Any], *, wide: bool) -> None:
    """Let a command wait beside lines that it means: whoever releases one of them has it applied to that line."""
    command, member = entry.plan.command, entry.member
    for line in found:
        items = [item for item in command.items if _means(item, line)][:1]
        said = items or EnrollmentCommand.model_validate_json(line.command).items
        # By its own key: what else names the purchase was perhaps told with the mapped lines only. A subscription's word stays one.
        key = command.business_key if wide else line.business_key
        narrowed = command.model_copy(update={"items": tuple(said), "business_key": key})
        row = QuarantineRow(
            event_id=entry.event_id,
            source=line.source,
            kind="early",
            learner_key=line.learner_key,
            remote_product_id="",  # whoever asks for the lines of a product means the line itself
            line=line.line,
            business_key=line.business_key,
            command=narrowed.model_dump_json(),
            occurred_at=milliseconds(command.occurred_at),
            note=NOTE,
        )
        if not purchases.parked_already(unit, entry.event_id, row.command, line.business_key):
            for quarantine_id in quarantine.add(unit, [row], member.now):
                scope = member.source.business_scope
                purchases.park(unit, quarantine_id, scope, [f"purchase:{line.business_key}"])
    entry.result.parked += len(found)


def wait_again(unit: Unit, entry: Entry, changes: Sequence[Any]) -> None:
    """Let lines wait again whose purchase was taken back while they waited, and lives again now."""
    bare = [row.id for row in changes if row.mapping_version_id is None]
    if bare:
        quarantine.wait_again(unit, bare, entry.member.now)
