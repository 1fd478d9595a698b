"""A refund, a dispute or a cancellation that came before its purchase: it waits, and is applied when that arrives."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from bridge.contract.catalogue import Catalogue, SourceEntry
from bridge.contract.command import Action, EnrollmentCommand
from bridge.intake import change, money
from bridge.intake import people as persons
from bridge.intake.plan import CommandPlan, line_of, plan
from bridge.intake.result import Entry, Result, of_kept
from bridge.kit.clock import milliseconds
from bridge.ledger import purchases, quarantine
from bridge.ledger.unit import Unit

NOTE = "waits for its purchase, and is applied by itself when that comes"
UNNAMED = "names a product that is not mapped, so that nobody knows which line of its order it means: map it, then release this"
_MAY_WAIT = frozenset({Action.CANCEL, Action.REFUND, Action.SUSPEND, Action.RESUME})


def keep(unit: Unit, entry: Entry) -> None:
    """Let a command that found no purchase wait, or not all of it, where it carries an id by which the purchase is known."""
    command, member = entry.plan.command, entry.member
    keys = list(_keys(command))
    if command.action not in _MAY_WAIT or not keys or (command.refund is not None and command.refund.pending):
        return
    if command.action is Action.SUSPEND and command.effective_at is not None:
        return  # the first payment of a subscription has failed: nothing was bought yet that could be suspended
    if member.source.joined:  # the source of the purchase names its products and lines in another way
        lines = {plan.item: plan.line for plan in entry.plan.lines}
        items = tuple(item.model_copy(update={"line": lines.get(item, item.line)}) for item in command.items)
        command = command.model_copy(update={"items": items})
    row = quarantine.QuarantineRow(
        event_id=entry.event_id,
        source=member.source.name,
        kind="early",
        learner_key=persons.learner_key(command.learner, member.source) if command.learner else "",
        remote_product_id=next((x.remote_product_id for x in (*entry.plan.unmapped, *command.items)), ""),
        line="",
        business_key=command.business_key or "",
        command=command.model_dump_json(),
        occurred_at=milliseconds(command.occurred_at),
        note=UNNAMED if member.source.joined and entry.plan.unmapped else NOTE,
    )
    if not purchases.parked_already(
        unit, entry.event_id, row.command, row.business_key
    ):  # an event that is replayed says it again
        for quarantine_id in quarantine.add(unit, [row], member.now):
            purchases.park(unit, quarantine_id, member.source.business_scope, keys)
    entry.result.parked += 1
    entry.result.not_found = False


def apply(unit: Unit, bought: Sequence[Entry]) -> None:
    """Apply what has waited for these purchases, which are in the ledger now, in the order in which it happened."""
    if not bought or not unit.rare().parked:
        return
    keys: dict[tuple[str, str], list[Entry]] = {}
    for entry in sorted(bought, key=lambda entry: entry.plan.command.occurred_at):
        for key in _keys(entry.plan.command):
            keys.setdefault((entry.member.source.business_scope, key), []).append(entry)
    if not keys:
        return
    ended: set[int] = set()
    for row in purchases.parked(unit, keys):
        command, entry = EnrollmentCommand.model_validate_json(row.command), keys[row.scope, row.key][0]
        if row.line:  # it is about one line, which has waited to be mapped
            found = _of_line(keys[row.scope, row.key], command, row.line)
            if found is None:
                continue
            command, entry = found
        # What happened before the purchase did not happen to it, but to an earlier one that may still come.
        if row.id in ended or command.occurred_at < entry.plan.command.occurred_at:
            continue
        early = Entry(entry.member, row.event_id, _planned(entry, row, command), Result())
        if change.apply(unit, early):
            registration = early.result.lines[0].registration_id if early.result.lines else None
            quarantine.end(unit, row.id, "released", registration, "its purchase came", entry.member.now)
            ended.add(row.id)
    purchases.unpark(unit, ended)


def _planned(entry: Entry, row: Any, command: EnrollmentCommand) -> CommandPlan:
    """Return a command that has waited as what its lines are called by today's mapping of its own source, where that says it."""
    source = entry.member.catalogue.sources.get(row.source)
    if row.line or source is None or not source.joined:
        return CommandPlan(command, (), (), ())
    return plan(command, source, entry.member.catalogue)


def release(
    unit: Unit, row: Any, plans: CommandPlan, source: SourceEntry, catalogue: Catalogue, now: int
) -> int | None:
    """Apply a command that has waited for the mapping of what it names; return the registration it meant, None where it waits still."""
    entry = Entry(of_kept(source, (plans,), catalogue, now, late=True), row.event_id, plans, Result())
    if not change.apply(unit, entry) or not entry.result.lines:
        return None
    registration = entry.result.lines[0].registration_id
    quarantine.end(unit, row.id, "released", registration, "what it names is mapped", now)
    purchases.unpark(unit, [row.id])
    return registration


def _of_line(bought: Sequence[Entry], command: EnrollmentCommand, line: str) -> tuple[EnrollmentCommand, Entry] | None:
    """Return a command about one line, as that line is called now, and the purchase that brings it; None where none does."""
    for entry in bought:
        for one in entry.plan.lines:
            if line_of(entry.plan.command, one.item) == line:
                items = tuple(item.model_copy(update={"line": one.line}) for item in command.items)
                return command.model_copy(update={"items": items}), entry
    return None


def _keys(command: EnrollmentCommand) -> Iterator[str]:
    """Yield what names the purchase of a command. A subscription only where nothing narrower does."""
    order = command.order
    if command.business_key is None and not order.model_fields_set:
        return  # most calls of an AMS: nothing names the purchase
    if command.business_key is not None:
        yield f"purchase:{command.business_key}"
    if order.number:
        yield f"order:{order.number}"
    for ref in {order.transaction_id, *order.refs} - {None, ""}:
        yield f"ref:{ref}"
    if order.subscription_id and (command.action is Action.ENROLL or not money.is_narrow(command)):
        yield f"subscription:{order.subscription_id}"
