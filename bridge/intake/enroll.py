"""Purchases: learner, registration, grants, rights and outbox, set-based over a wave of different people."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import orjson

from bridge.contract.catalogue import TargetEntry
from bridge.contract.command import EnrollmentCommand, Item, Learner, Options, Order, email_key
from bridge.contract.inbound import AcceptedLine
from bridge.intake import decided, later, money, notices
from bridge.intake import people as persons
from bridge.intake.plan import CommandPlan, LinePlan, line_of
from bridge.intake.result import Entry, Member
from bridge.kit.clock import milliseconds
from bridge.ledger import events, learners, merges, outbox, purchases, quarantine, registrations, rights
from bridge.ledger import notices as notes
from bridge.ledger.learners import Known
from bridge.ledger.outbox import DeliveryRow, right_delivery
from bridge.ledger.registrations import Opened, RegistrationRow
from bridge.ledger.reroutes import REROUTED
from bridge.ledger.rights import Given, GrantRow
from bridge.ledger.states import Intent, State
from bridge.ledger.unit import Unit
from bridge.ledger.words import Word

_GIVING = frozenset({"created", "changed", "reopened", "revived", "moved", REROUTED})
_RENEWING = frozenset({"reopened", "revived", "moved", REROUTED})
"""Where the registration becomes what this event and the mapping of today say."""
# What model_dump_json comes to in the end, without the checks of its twenty options on the way.
_order_json = Order.__pydantic_serializer__.to_json
_options_json = Options.__pydantic_serializer__.to_json
_REPEATS_WITHIN = 86_400_000  # milliseconds


@dataclass(slots=True)
class Line:
    """One order line on its way into the ledger.

    Attributes:
        registration: what stands for the line in the ledger.
        effect: what became of it there, one of the effects of ``tables.effect``.
    """

    entry: Entry
    plan: LinePlan
    known: Known
    row: RegistrationRow
    registration: Opened
    effect: str = "created"

    @property
    def gives(self) -> bool:
        """Whether what the line leads to is given now."""
        return self.effect in _GIVING and self.entry.plan.command.paid

    @property
    def withheld(self) -> bool:
        """What the line would give is kept, and not given: it is taken back already, or not paid yet."""
        if self.effect == "older":
            return self.registration.bare
        return self.effect in _GIVING and not self.entry.plan.command.paid


def people(entry: Entry) -> set[str]:
    """Return what makes two commands be of the same person or purchase: a wave holds each once."""
    command, source = entry.plan.command, entry.member.source
    found = {persons.learner_key(_learner(entry), source)}
    if command.learner is not None and command.learner.email:
        found.add(f"email:{email_key(command.learner.email)}")
    if command.business_key is not None:
        found.add(f"order:{source.business_scope}:{command.business_key}")
    return found


def apply(unit: Unit, wave: Sequence[Entry]) -> list[Line]:
    """Write a wave of enroll commands of different people; return the order lines whose seats are to be looked at."""
    now = max(entry.member.now for entry in wave)
    rows = [
        persons.learner_row(entry.plan.command, _learner(entry), entry.member.source, late=entry.member.late)
        for entry in wave
    ]
    known = learners.upsert(unit, rows, now)
    # Before anything is given: a right made under the new address would be in the way of the account that moves there.
    for entry, person in zip(wave, known, strict=True):
        if person.changed:
            persons.follow(unit, [person], entry.member.targets, entry.event_id, now)
    lines = _opened(unit, wave, known, now)
    later.paid(unit, [line.row for line in lines if line.entry.plan.command.paid])
    standing = [line for line in lines if not line.registration.created]
    _renew(unit, standing, now)
    judged = give(unit, [line for line in lines if line.gives], now)
    judged |= withhold(unit, [line for line in lines if line.withheld], now)
    _name(unit, lines)
    events.record_effects(unit, [(line.entry.event_id, line.registration.id, line.effect) for line in lines])
    _answer(unit, lines, judged)
    return [line for line in lines if _may_have_seats(line)]


def _may_have_seats(line: Line) -> bool:
    if line.plan.seats or (not line.registration.created and line.registration.quantity > 1):
        return True
    # A period whose seats another source has sold; this one may know nothing of them.
    return line.row.subscription_id is not None and line.entry.member.source.joined


def _opened(unit: Unit, wave: Sequence[Entry], known: Sequence[Known], now: int) -> list[Line]:
    mappings = {entry.member.mapping for entry in wave}
    versions = {digest: registrations.mapping_version(unit, digest, text, now) for digest, text in sorted(mappings)}
    said = [
        (entry, plan, person, _registration(entry, plan, person, versions[entry.member.mapping[0]]))
        for entry, person in zip(wave, known, strict=True)
        for plan in entry.plan.lines
    ]
    ended = [registrations.taken_back(unit, row) if entry.member.late else None for entry, _, _, row in said]
    fresh = [row for (_, _, _, row), opened in zip(said, ended, strict=True) if opened is None]
    inserted = iter(registrations.insert(unit, fresh, now))
    lines = [Line(*what, opened or next(inserted)) for what, opened in zip(said, ended, strict=True)]
    standing = [line for line in lines if not line.registration.created]
    elsewhere = decided.plans(unit, [(line.registration.id, line.entry, line.plan) for line in standing])
    paid = [line for line in standing if line.entry.plan.command.paid]
    judged = money.weigh_bought(unit, [(line.registration, _word(unit, line)) for line in paid])
    for line in standing:
        opened = line.registration
        line.plan = elsewhere.get(opened.id, line.plan)
        moved = opened.learner_id != line.known.id and _takes_over(unit, line)
        wins = opened.intent is not Intent.LIVE and _wins(line, judged.get(opened.id))
        line.effect = _effect(line, moved=moved, wins=wins and not _overtaken(unit, line))
        if line.effect == "revived" and judged.get(opened.id) is Intent.SUSPENDED:
            line.entry.result.held.append(opened.id)
    merges.passed_on(unit, [line.registration.id for line in lines if line.effect == "moved"])
    merges.came_by(unit, [(line.known, line.registration.id) for line in lines if line.effect in ("created", "moved")])
    return lines


def _learner(entry: Entry) -> Learner:
    assert entry.plan.command.learner is not None  # noqa: S101 - the contract of an enroll command
    return entry.plan.command.learner


def _registration(entry: Entry, plan: LinePlan, known: Known, mapping_version_id: int) -> RegistrationRow:
    targets = orjson.dumps([target.name for target in plan.contacts]).decode()
    return registration_row(entry, plan.item, plan.line, known, targets, mapping_version_id)


def registration_row(
    entry: Entry, item: Item, line: str, known: Known, targets: str = "[]", mapping_version_id: int | None = None
) -> RegistrationRow:
    """Return what a command says of one order line; without ``targets`` and mapping it is what it says before any mapping."""
    command, source = entry.plan.command, entry.member.source
    order, options, key, paid = command.order, command.options, command.business_key, command.paid
    return RegistrationRow(
        source=source.name,
        learner_id=known.id,
        remote_product_id=item.remote_product_id,
        line=merges.line_of(line, known, keyed=key is not None),
        business_scope=source.business_scope if key is not None else None,
        business_key=key,
        intent=(Intent.LIVE if paid else Intent.SUSPENDED).value,
        # An order's date stays what it was when it is paid: a payment of the same moment must win over the wait for it.
        occurred_at=milliseconds(command.occurred_at) - (not paid),
        quantity=item.quantity,
        amount_paid=None if item.amount_paid is None else format(item.amount_paid, "f"),
        currency=item.currency or order.currency,
        order_number=order.number,
        transaction_id=order.transaction_id,
        subscription_id=order.subscription_id,
        order_data=_order_json(order, exclude_none=True).decode() if order.model_fields_set else "{}",
        options=_options_json(options, exclude_defaults=True).decode() if options.model_fields_set else "{}",
        targets=targets,
        mapping_version_id=mapping_version_id,
        event_id=entry.event_id,
    )


def _takes_over(unit: Unit, line: Line) -> bool:
    """Say whether a purchase passes to the learner of a newer event; where it does not, go on with the one it has.

    A shop that corrects the address of an order means another person. The same purchase by another road (another source,
    or with an id where there was none) means the same person under another name, and nobody is to be enrolled twice.
    """
    opened = line.registration
    namespace, remote_user_id, email = learners.identity(unit, opened.learner_id)
    newer = opened.source == line.row.source and line.row.occurred_at > opened.occurred_at
    if newer and email and line.known.email and email_key(email) != email_key(line.known.email):
        return True
    line.known = Known(opened.learner_id, namespace, remote_user_id, email, email, changed=False)
    line.row = replace(line.row, learner_id=opened.learner_id)
    return False


def _overtaken(unit: Unit, line: Line) -> bool:
    """Say whether a purchase that is understood late was followed by something that its registration rests on by now.

    Without a business key the order of the calls decides, and this one is not the last of them any more.
    """
    opened = line.registration
    late = line.entry.member.late and not opened.keyed and opened.intent is not Intent.LIVE
    return late and (not opened.intent.alive or events.shaped_since(unit, opened.id, line.entry.event_id))


def _word(unit: Unit, line: Line) -> Word:
    return money.word_of(unit, line.entry.plan.command, line.entry.event_id, line.entry.member.source.name)


def _wins(line: Line, judged: Intent | None) -> bool:
    """Say whether a purchase counts over what its registration has come to; ``judged`` is what it is with all that was said."""
    opened, at = line.registration, line.row.occurred_at
    if judged is None:
        return registrations.wins(opened.intent, opened.occurred_at, Intent.LIVE, at, dated=opened.keyed)
    return judged is Intent.LIVE or (judged is Intent.SUSPENDED and opened.intent is Intent.CANCELLED)


def _effect(line: Line, *, moved: bool, wins: bool) -> str:
    opened, at = line.registration, line.row.occurred_at
    if not line.entry.plan.command.paid:
        return "noted"  # it says nothing of what has become of the purchase since
    if opened.intent is Intent.LIVE and opened.bare:
        return "revived"  # taken back and resumed before the purchase arrived
    if opened.intent is not Intent.LIVE:
        return "revived" if wins else "older"
    if moved:
        return "moved"
    if opened.state is State.FAILED:
        return "reopened"  # a newer command supersedes a dead letter
    if line.entry.member.again and at >= opened.occurred_at:
        return "reopened"
    return "changed" if _extends(line) or _wider(opened.options, line.row.options) else "repeated"


def _extends(line: Line) -> bool:
    # Bought again while access still lasts is a renewal, where access ends at all; within a day it is the sender's repeat.
    # With a business key a renewal is a purchase of its own, and a later word on the same purchase renews nothing.
    if line.registration.keyed:
        return False
    ends = any(grant.expires_at is not None for grant in line.plan.grants)
    return ends and line.row.occurred_at - line.registration.occurred_at > _REPEATS_WITHIN


def _wider(kept: str, said: str) -> bool:
    if kept == said:
        return False
    # A repeat may widen access (full instead of drip-fed, a later end), never narrow it: a repeat is no cancellation.
    old, new = Options.model_validate_json(kept), Options.model_validate_json(said)
    later = old.expires_at is not None and new.expires_at is not None and new.expires_at > old.expires_at
    return (new.full_access and not old.full_access) or later


def _widened(kept: str, said: str) -> str:
    old, new = Options.model_validate_json(kept), Options.model_validate_json(said)
    ends = [old.expires_at, new.expires_at]
    widest = {
        "full_access": old.full_access or new.full_access,
        "expires_at": None if None in ends else max(end for end in ends if end is not None),
    }
    return new.model_copy(update=widest).model_dump_json(exclude_defaults=True)


def _renew(unit: Unit, lines: Sequence[Line], now: int) -> None:
    """Let registrations that stand already take over what the event says of them."""
    renewed, confirmed = [], []
    for line in lines:
        opened, row = line.registration, line.row
        at = max(row.occurred_at, opened.occurred_at)
        if line.effect in ("reopened", "changed"):
            row = replace(row, options=_widened(opened.options, row.options))
        if line.effect in ("changed", *_RENEWING):
            renewed.append((opened.id, replace(row, occurred_at=at)))
        elif line.effect == "older" and opened.bare:
            renewed.append((opened.id, replace(row, occurred_at=at, intent=opened.intent.value)))
        elif line.effect == "repeated" and opened.keyed and row.occurred_at > opened.occurred_at:
            confirmed.append((opened.id, row.occurred_at))
    money.note_bought(
        unit, ((line.registration, line.row.occurred_at) for line in lines if line.entry.plan.command.paid)
    )
    registrations.renew(unit, renewed, now)
    registrations.advance(unit, confirmed)


def give(unit: Unit, lines: Sequence[Line], now: int) -> set[int]:
    """Give what the lines lead to; return the registrations whose state was derived again."""
    causes = {line.registration.id: line.entry.event_id for line in lines}
    renewed = {line.registration.id for line in lines if line.effect in _RENEWING}
    given = rights.give(unit, [grant for line in lines for grant in _grants(line)], renewed, now)
    work = [right_delivery(right, registration, causes[registration]) for right, registration in given.lost]
    work += [
        right_delivery(right, line.registration.id, line.entry.event_id, line.known.id, line.registration.source)
        for line in lines
        for right in given.behind.get(line.registration.id, ())
    ]
    waiting: list[DeliveryRow] = []
    for line in lines:
        for target, row in _contacts(line):
            (work if target.when == "accepted" else waiting).append(row)
    outbox.add(unit, work, waiting, now)
    _confirm(unit, lines, given, now)
    # A line whose rights are all held already, or that has none, is active at once; the others wait for their receipts.
    judged = {
        line.registration.id
        for line in lines
        if line.effect != "created" or all(right.held == "yes" for right in given.behind.get(line.registration.id, ()))
    }
    outbox.open_waiting(unit, registrations.derive_states(unit, judged, now), now)
    return judged


def withhold(unit: Unit, lines: Sequence[Line], now: int) -> set[int]:
    """Keep what a purchase would give that was taken back before it came, or is not paid: it may be resumed one day.

    Returns the registrations whose state was derived again.
    """
    if not lines:
        return set()
    renewed = {line.registration.id for line in lines if line.effect == REROUTED}
    rights.give(unit, [grant for line in lines for grant in _grants(line)], renewed, now)
    rights.end(unit, [line.registration.id for line in lines], now)
    unpaid = {line.registration.id for line in lines if line.registration.created}
    registrations.derive_states(unit, unpaid, now)
    return unpaid


def _name(unit: Unit, lines: Sequence[Line]) -> None:
    """Note the ids by which a refund or a dispute may name these purchases; those that a repeat brings, too."""
    registrations.complete(
        unit, [(line.registration.id, line.row) for line in lines if line.effect not in _GIVING and _has_ids(line.row)]
    )
    refs = []
    for line in lines:
        order, scope = line.entry.plan.command.order, line.entry.member.source.business_scope
        named = order.refs if order.transaction_id is None else (order.transaction_id, *order.refs)
        refs += [(scope, ref, line.registration.id) for ref in named]
    if refs:
        purchases.name(unit, refs)


def _has_ids(row: RegistrationRow) -> bool:
    return row.order_number is not None or row.transaction_id is not None or row.subscription_id is not None


def _grants(line: Line) -> list[GrantRow]:
    if line.plan.links:  # whoever claims a seat gets them
        return []
    rows = []
    for grant in line.plan.grants:
        expires_at = milliseconds(grant.expires_at) if grant.expires_at is not None else None
        here = (line.registration.id, grant.course, expires_at, grant.full_access, line.known.id)
        rows += [
            GrantRow(
                *here, right.target.name, persons.person_at(right.target, line.known), right.course_key, right.course
            )
            for right in grant.rights
        ] or [GrantRow(*here)]
    return rows


def _contacts(line: Line) -> list[tuple[TargetEntry, DeliveryRow]]:
    here = line.registration
    return persons.contact_rows(line.plan.contacts, line.known, here.id, line.entry.event_id, here.source)


def _confirm(unit: Unit, lines: Sequence[Line], given: Given, now: int) -> None:
    lines = [line for line in lines if line.entry.member.mailer is not None]
    renewed = [line.registration.id for line in lines if line.effect != "created"]
    if renewed:
        notes.wait_again(unit, renewed, now)
    planned = [
        notice
        for line in lines
        if line.known.email and not line.plan.links
        for notice in [
            notices.access(
                line.entry,
                line.plan,
                line.registration.id,
                line.effect,
                {right.target for right in given.behind.get(line.registration.id, ()) if right.held != "yes"},
                was_suspended=line.registration.intent is Intent.SUSPENDED,
            )
        ]
        if notice is not None
    ]
    if planned:
        notes.plan(unit, planned, now)


def _answer(unit: Unit, lines: Sequence[Line], judged: Collection[int]) -> None:
    known = {line.registration.id for line in lines if line.effect not in _GIVING} | set(judged)
    states = registrations.states_of(unit, known)
    for line in lines:
        opened = line.registration
        state = states.get(opened.id, "pending")
        line.entry.result.learner_id = line.known.id
        line.entry.result.lines.append(
            AcceptedLine(opened.id, line.plan.item.remote_product_id, line.plan.product_url, not opened.created, state)
        )


def quarantined(member: Member, event_id: int, plan: CommandPlan, item: Item) -> quarantine.QuarantineRow:
    """Return the row in which an unmapped line waits: the command with this one line, ready to be accepted again."""
    command: EnrollmentCommand = plan.command
    return quarantine.QuarantineRow(
        event_id=event_id,
        source=member.source.name,
        kind="unmapped",
        learner_key=persons.learner_key(command.learner, member.source) if command.learner else "",
        remote_product_id=item.remote_product_id,
        line=line_of(command, item),
        business_key=command.business_key or "",
        command=command.model_copy(update={"items": (item,)}).model_dump_json(),
        occurred_at=milliseconds(command.occurred_at),
    )
