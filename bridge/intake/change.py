"""Everything that is not a purchase: cancellations, refunds, suspensions, changed people. One command at a time."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from bridge.contract.catalogue import TargetEntry
from bridge.contract.command import Action, EnrollmentCommand, Item, Options
from bridge.contract.inbound import AcceptedLine
from bridge.intake import early, later, learning, money, notices, seats, waiting
from bridge.intake import people as persons
from bridge.intake.effects import EFFECTS, effect_of, taken_by
from bridge.intake.money import Weighed
from bridge.intake.result import Entry
from bridge.kit.clock import milliseconds
from bridge.ledger import events, learners, merges, outbox, purchases, registrations, rights
from bridge.ledger import learning as told
from bridge.ledger.addresses import move_person
from bridge.ledger.learners import Known
from bridge.ledger.outbox import right_delivery
from bridge.ledger.rights import Touched
from bridge.ledger.states import Intent
from bridge.ledger.unit import Unit
from bridge.ledger.words import Word

_INTENTS = {
    Action.CANCEL: Intent.CANCELLED,
    Action.REFUND: Intent.CANCELLED,
    Action.SUSPEND: Intent.SUSPENDED,
    Action.RESUME: Intent.LIVE,
}
_TAKEN = frozenset({"cancelled", "refunded", "ended"})


def apply(unit: Unit, entry: Entry) -> bool:
    """Write one command that is no purchase; return False where it has to wait.

    The ledger knows nothing that it could concern, or not yet what all of its products are (see :func:`waiting.unnamed`).
    """
    command = entry.plan.command
    if command.action is Action.UPDATE:
        _update(unit, entry)
        return True
    concerned = _concerned(unit, entry)
    found, missing, known = concerned.rows, concerned.missing, concerned.known
    if command.action is Action.PROGRESS:
        learning.note(unit, entry, told.by_registrations(unit, [row.id for row in found]))
        _answer(unit, entry, found, repeat=False)
        return True
    if _only_noted(command):
        events.record_effects(unit, [(entry.event_id, row.id, "noted") for row in found])
        _answer(unit, entry, found, repeat=False)
        return True
    intent = _INTENTS[command.action]
    made: list[Any] = []
    wide = money.is_wide(command)
    gone, beside = waiting.split(entry, waiting.lines(unit, entry, concerned.keys))
    waiting.put_beside(unit, entry, beside, wide=wide)
    unnamed = waiting.unnamed(entry, concerned.absent, beside) if known else []
    if intent is Intent.CANCELLED:
        # How many units of a line stay is told by the purchase alone: what came back of it waits for that.
        made, there = early.keep(unit, entry, [x for x in missing if x.returned is None and x not in unnamed])
        found = [*found, *there]
        ids = {row.id for row in (*found, *made)}
        kept = [row for row in waiting.take_back(unit, entry, gone) if row.id not in ids]
        found += [row for row in kept if Intent(row.intent).alive]
        made = [*made, *(row for row in kept if not Intent(row.intent).alive)]
        taken = "ended" if wide else "refunded" if command.action is Action.REFUND else "cancelled"
        events.record_effects(unit, [(entry.event_id, row.id, taken) for row in made])
        word = _word(unit, entry)
        money.keep_first(unit, [(row.id, word) for row in made])
    _set(unit, entry, _without_units(unit, entry, found), intent)
    _answer(unit, entry, made, repeat=False)
    return not unnamed and (known or bool(found or made or gone or beside))


def _only_noted(command: EnrollmentCommand) -> bool:
    """Say whether a command changes no access: a refund that is pending, part of the money of no line."""
    if command.refund is None:
        return False
    return command.refund.pending or (not command.refund.full and not command.items)


def _update(unit: Unit, entry: Entry) -> None:
    command, now = entry.plan.command, entry.member.now
    assert command.learner is not None  # noqa: S101 - the contract of an update command
    known = learners.upsert(
        unit, [persons.learner_row(command, command.learner, entry.member.source, late=entry.member.late)], now
    )
    entry.result.learner_id = known[0].id
    persons.follow(unit, [person for person in known if person.changed], entry.member.targets, entry.event_id, now)
    concerned = registrations.followed(unit, known[0].id)
    events.record_effects(unit, [(entry.event_id, row.id, "noted") for row in concerned])


@dataclass(slots=True)
class _Concerned:
    """The registrations that a command means.

    Attributes:
        missing: the lines that it names and that are not there, where that says something.
        absent: all of those lines.
        known: whether its purchase is.
        keys: the business keys by which lines of its purchases may wait.
    """

    rows: list[Any]
    missing: list[Item]
    known: bool
    keys: frozenset[str] = frozenset()
    absent: list[Item] = field(default_factory=list)


def _concerned(unit: Unit, entry: Entry) -> _Concerned:
    """Find what a command means: by our id, the business key, the order's ids, or learner and product."""
    command, source = entry.plan.command, entry.member.source
    if command.registration_id is not None:
        return _Concerned(registrations.by_id(unit, command.registration_id, source.name), [], known=True)
    found: list[Any] = []
    if command.business_key is not None:
        found = registrations.by_business_key(unit, source.business_scope, command.business_key)
    by_key = bool(found)
    found = found or _by_order(unit, entry)
    keys = {command.business_key, *(row.business_key for row in found if not seats.is_claim(row))} - {None}
    if not found and command.business_key is None and command.learner is not None:
        found = _by_learner(unit, entry)
        if command.action in _INTENTS:  # its sender knows of no claims: what it says is about what the person bought
            found = [row for row in found if not seats.is_claim(row)]
    named = {item: _lines_of(item, found, entry) for item in command.items}
    absent = [item for item, rows in named.items() if not rows]
    missing = absent if by_key or not found else []
    meant = {row.id for rows in named.values() for row in rows}
    rows = [row for row in found if not command.items or row.id in meant]
    return _Concerned(rows, missing, bool(found), frozenset(key for key in keys if key is not None), absent)


def _by_order(unit: Unit, entry: Entry) -> list[Any]:
    order, source = entry.plan.command.order, entry.member.source
    found: list[Any] = []
    for column, value in (("order_number", order.number), ("transaction_id", order.transaction_id)):
        if not found and value:
            found = registrations.by_order(unit, source.name, column, value)
    refs = {order.transaction_id, *order.refs} - {None}
    if not found and refs:
        found = purchases.by_refs(unit, source.business_scope, [ref for ref in refs if ref])
    # One payment of a subscription that we don't know is not all of its payments.
    if not found and order.subscription_id and not money.is_narrow(entry.plan.command):
        found = registrations.by_order(unit, source.name, "subscription_id", order.subscription_id)
    return found


def _by_learner(unit: Unit, entry: Entry) -> list[Any]:
    command, source = entry.plan.command, entry.member.source
    assert command.learner is not None  # noqa: S101 - checked by the caller
    known = learners.find(unit, persons.learner_row(command, command.learner, source))
    if known is None:
        return []
    found = registrations.live_of(unit, source.name, known.id, {item.remote_product_id for item in command.items})
    return merges.bought_as(unit, found, known)


def _lines_of(item: Item, found: Sequence[Any], entry: Entry) -> list[Any]:
    """Return the registrations that a line of a command means: by its reference, else by its product.

    Where several sources report one order, what the line opens is its reference.
    """
    lines = {plan.item: plan.line for plan in entry.plan.lines} if entry.member.source.joined else {}
    line = lines.get(item, item.line)
    exactly = [row for row in found if line and merges.sent_line(row.line) == line]
    return exactly or [row for row in found if row.remote_product_id == item.remote_product_id]


def _without_units(unit: Unit, entry: Entry, found: Sequence[Any]) -> list[Any]:
    """Take single units of order lines back; return the registrations that the command means as a whole."""
    command = entry.plan.command
    whole = list(found)
    for item in command.items:
        if command.action is not Action.REFUND or item.returned is None:
            continue
        for row in _lines_of(item, found, entry):
            if seats.all_returned(unit, entry, row, item.returned):
                continue
            seats.returned(unit, entry, row, item.returned)
            whole = [one for one in whole if one.id != row.id]
            events.record_effects(unit, [(entry.event_id, row.id, "noted")])
            _answer(unit, entry, [row], repeat=False)
    return whole


def _word(unit: Unit, entry: Entry) -> Word:
    return money.word_of(unit, entry.plan.command, entry.event_id, entry.member.source.name)


def _set(unit: Unit, entry: Entry, found: Sequence[Any], intent: Intent) -> None:
    command, weighed = entry.plan.command, money.weigh(unit, found, _word(unit, entry))
    # Nothing but a hold is left of what had taken these back.
    held = [row for row in found if intent is Intent.LIVE and _is_held_again(row, weighed)]
    _change(unit, entry, [row for row in found if row not in held], intent, weighed)
    if held:
        money.keep(unit, weighed, [row.id for row in held])
        _hold_again(unit, entry, held)
        _answer(unit, entry, held, repeat=False)
        waiting.wait_again(unit, entry, held)
    if intent is Intent.LIVE and (money.is_wide(command) or command.continues):
        later.lift(unit, [(row.id, milliseconds(command.occurred_at)) for row in found])


def _is_held_again(row: Any, weighed: Weighed) -> bool:
    return Intent(row.intent) is Intent.CANCELLED and weighed.becomes.get(row.id) is Intent.SUSPENDED


def hold_bought(unit: Unit, entries: Iterable[Entry]) -> None:
    """Suspend what is there again by these purchases, and is under a hold that is newer than they are."""
    for entry in entries:
        if entry.result.held:
            _hold_again(unit, entry, registrations.by_ids(unit, entry.result.held))
            entry.result.held.clear()


def _hold_again(unit: Unit, entry: Entry, rows: Sequence[Any]) -> None:
    events.record_effects(unit, [(entry.event_id, row.id, "suspended") for row in rows])
    at = milliseconds(entry.plan.command.occurred_at)
    _carry(unit, entry, rows, seats.carried(unit, entry, rows, Intent.SUSPENDED), Intent.SUSPENDED, at)


def _change(unit: Unit, entry: Entry, found: Sequence[Any], intent: Intent, weighed: Weighed) -> None:
    now, at = entry.member.now, milliseconds(entry.plan.command.occurred_at)
    command = entry.plan.command
    wide = money.is_wide(command)
    effects = [(row, effect_of(unit, entry, row, intent, weighed)) for row in found]
    over = {row.id for row in found if intent is Intent.SUSPENDED and _may_be_held(unit, entry, row)}
    effects = [(row, "suspended" if row.id in over else effect) for row, effect in effects]
    effects = later.put_off(unit, entry, effects, wide=wide)
    held = [row for row, effect in effects if row.id in over and effect == "suspended"]
    over = {row.id for row in held}
    effects = [(row, "older" if row.id in over else effect) for row, effect in effects]
    changes = [row for row, effect in effects if effect in EFFECTS.values()]
    follow = _following(unit, entry, found, changes, held, intent)
    changes += follow
    effects += [(row, EFFECTS[intent]) for row in follow]
    effects = [(row, taken_by(unit, row, command, effect, wide=wide)) for row, effect in effects]
    # What was cancelled before, and is refunded now: nothing changes at an LMS, and a CRM wants to know.
    ids = {row.id for row in changes}
    explained = [row for row, effect in effects if effect in _TAKEN and row.id not in ids]
    meant = {row.id for row in found}
    # With a mailer the office is told once of an order: its seats' texts would have a target tell it of each.
    silent = {row.id for row in follow} if entry.member.mailer is not None else set()
    options = {row.id: _options(row, command, office=row.id not in silent) for row in changes}
    # A refund that counts although a hold is newer does not make the registration older than that.
    moments = {row.id: at if row.business_key is None else max(at, row.occurred_at) for row in changes}
    # What takes effect later is said when it does.
    money.keep(unit, weighed, {row.id for row in (changes if later.puts_off(command) else found)})
    money.note(unit, command, effects)
    registrations.set_intents(unit, [(row.id, intent, moments[row.id], options[row.id]) for row in changes], now)
    ends_hold = intent is Intent.LIVE and command.undoes == "holds"
    confirmed = [row.id for row, effect in effects if effect == "repeated" and row.business_key is not None]
    registrations.advance(unit, [(i, at) for i in confirmed])
    if intent is Intent.SUSPENDED or ends_hold:
        effects = [(row, "confirmed" if row.id in confirmed else effect) for row, effect in effects]
    _move_rights(unit, entry, changes, intent, meant)
    _tell_contacts(unit, entry, explained)
    outbox.open_waiting(unit, registrations.derive_states(unit, [row.id for row in explained], now), now)
    events.record_effects(unit, [(entry.event_id, row.id, effect) for row, effect in effects])
    if intent is Intent.LIVE:
        waiting.wait_again(unit, entry, changes)
    _answer(unit, entry, found, repeat=not changes)


def take_effect(unit: Unit, entry: Entry, rows: Sequence[Any], intent: Intent, at: int) -> None:
    """Let an intent that was scheduled stand from now on; ``at`` is when it was said at the sender, in milliseconds."""
    for row in rows:  # it was put off, and no hold or end of one that was told meanwhile says anything of it
        weighed = money.weigh(unit, [row], replace(_word(unit, entry), at=max(at, row.occurred_at)))
        money.keep(unit, weighed, [row.id])
    _carry(unit, entry, rows, seats.carried(unit, entry, rows, intent), intent, at)


def hold_seats(unit: Unit, entry: Entry, line: Any, at: int) -> None:
    """Let a suspension that was scheduled reach the seats of an order line whose own time is over meanwhile."""
    if follow := seats.suspended_late(unit, entry, [line]):
        _carry(unit, entry, [], follow, Intent.SUSPENDED, at)


def _carry(unit: Unit, entry: Entry, rows: Sequence[Any], follow: Sequence[Any], intent: Intent, at: int) -> None:
    meant = {row.id for row in rows}
    events.record_effects(unit, [(entry.event_id, row.id, EFFECTS[intent]) for row in follow])
    rows = [*rows, *follow]
    money.note(unit, entry.plan.command, [(row, EFFECTS[intent]) for row in rows])
    moments = {row.id: at if row.business_key is None else max(at, row.occurred_at) for row in rows}
    registrations.set_intents(
        unit, [(row.id, intent, moments[row.id], str(row.options)) for row in rows], entry.member.now
    )
    _move_rights(unit, entry, rows, intent, meant)


def _following(
    unit: Unit, entry: Entry, found: Sequence[Any], changes: Sequence[Any], held: Sequence[Any], intent: Intent
) -> list[Any]:
    """Return the registrations of claimed seats that a change of their order lines takes along.

    Of the lines ``held`` only the seats are suspended now.
    """
    follow = seats.carried(unit, entry, changes, intent) if changes else []
    if held:
        follow += seats.suspended_late(unit, entry, held)
        at = milliseconds(entry.plan.command.occurred_at)
        registrations.advance(unit, [(row.id, at) for row in held if row.business_key is not None])
    known = {row.id for row in found}
    return [row for row in follow if row.id not in known]


def _may_be_held(unit: Unit, entry: Entry, row: Any) -> bool:
    """Say whether an order line's own time is over, and a suspension is news to the seats that it may have."""
    command, keyed = entry.plan.command, row.business_key is not None
    if Intent(row.intent) is not Intent.EXPIRED or (keyed and milliseconds(command.occurred_at) <= row.occurred_at):
        return False
    if not keyed and entry.member.late and events.shaped_since(unit, row.id, entry.event_id):
        return False
    # What takes effect later is told in the story of the line: of one without seats there is nothing to tell.
    return command.effective_at is None or seats.are_of(unit, row)


def _options(row: Any, command: EnrollmentCommand, *, office: bool) -> str:
    texts = command.options.cancellation
    if texts is None:
        return str(row.options)
    if not office:
        texts = texts.model_copy(update={"admin_email": None, "admin_text": None})
    kept = Options.model_validate_json(row.options)
    return kept.model_copy(update={"cancellation": texts}).model_dump_json(exclude_defaults=True)


def _move_rights(unit: Unit, entry: Entry, changes: Sequence[Any], intent: Intent, meant: Collection[int]) -> None:
    now = entry.member.now
    ids = [row.id for row in changes]
    touched = _resumed(unit, entry, changes) if intent is Intent.LIVE else rights.end(unit, ids, now)
    outbox.open_now(unit, [right_delivery(right, cause, entry.event_id) for right, cause in touched], now)
    _tell_contacts(unit, entry, changes)
    _notify(unit, entry, changes, intent, meant)
    behind = rights.registrations_behind(unit, [right.id for right, _ in touched])
    outbox.open_waiting(unit, registrations.derive_states(unit, [*ids, *behind], now), now)


def _notify(unit: Unit, entry: Entry, changes: Sequence[Any], intent: Intent, meant: Collection[int]) -> None:
    """Plan the mails that go with it; before the states are derived, which opens what waits for them."""
    if entry.member.mailer is None:
        return
    if intent is Intent.CANCELLED:
        notices.cancelled(unit, entry, changes, meant)
    elif intent is Intent.LIVE:
        asked = {row.id for row in changes if Options.model_validate_json(row.options).send_email}
        notices.resumed(unit, entry, changes, asked)


def _tell_contacts(unit: Unit, entry: Entry, rows: Sequence[Any]) -> None:
    """Have what becomes of registrations told to the CRMs that follow them, once it is settled."""
    now = entry.member.now
    for row in rows:
        known = Known(row.learner_id, *learners.identity(unit, row.learner_id), former_email=None, changed=False)
        follows = _followers(row, entry.member.targets)
        work = persons.contact_rows(follows, known, row.id, entry.event_id)
        due = [delivery for target, delivery in work if target.when == "accepted"]
        outbox.add(unit, due, [delivery for target, delivery in work if target.when == "enrolled"], now)


def _resumed(unit: Unit, entry: Entry, rows: Sequence[Any]) -> list[Touched]:
    """Let registrations live again, under the addresses that their learners have by now."""
    now = entry.member.now
    touched = rights.resume(unit, [row.id for row in rows], now)
    learner_of = {row.id: row.learner_id for row in rows}
    targets = {target.name: target for target in entry.member.targets}
    moved: dict[int, int] = {}
    for right, registration_id in touched:
        learner_id = learner_of[registration_id]
        known = Known(learner_id, *learners.identity(unit, learner_id), former_email=None, changed=False)
        target = targets.get(right.target)
        if target is None or right.person == (person := persons.person_at(target, known)):
            continue
        ids = move_person(unit, learner_id, target.name, right.person, person, alone=lambda: False, now=now)
        moved |= dict.fromkeys(ids, registration_id)
    return [*touched, *(Touched(right, moved[right.id]) for right in rights.derive_wanted(unit, moved, now))]


def _followers(row: Any, targets: Sequence[TargetEntry]) -> list[TargetEntry]:
    names = set(orjson.loads(row.targets))
    return [target for target in targets if target.name in names]


def _answer(unit: Unit, entry: Entry, rows: Sequence[Any], *, repeat: bool) -> None:
    states = registrations.states_of(unit, [row.id for row in rows])
    entry.result.lines += [
        AcceptedLine(
            row.id, row.remote_product_id, entry.member.product_url(row.remote_product_id), repeat, states[row.id]
        )
        for row in rows
    ]
    entry.result.not_found = not entry.result.lines
