"""What is said of a dated purchase: weighed by its time and with all that was said before, whatever was heard first.

:mod:`bridge.intake.judgement` has the rules. What they need is kept from the first word on that is no purchase; of all before
that the registration itself tells. ``money_at`` is when the newest word about the money was said: it marks those of which
words are kept, and is what a change that was put off is weighed by.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from bridge.contract.command import Action, EnrollmentCommand
from bridge.intake.judgement import judge, stands
from bridge.kit.clock import milliseconds
from bridge.ledger import events, registrations, words
from bridge.ledger.registrations import Opened
from bridge.ledger.states import Intent
from bridge.ledger.unit import Unit
from bridge.ledger.words import Kind, Word

_KINDS = {
    Action.ENROLL: Kind.PAID,
    Action.SUSPEND: Kind.HELD,
    Action.CANCEL: Kind.CANCELLED,
    Action.REFUND: Kind.REFUNDED,
}
_UNDOING = {"holds": Kind.FREED, "refunds": Kind.FAILED, "all": Kind.RESTORED}
_WIDE = {Kind.CANCELLED: Kind.ENDED, Kind.REFUNDED: Kind.ENDED, Kind.FREED: Kind.GOES_ON}
_TAKEN = {"refunded": Kind.REFUNDED, "ended": Kind.ENDED}


@dataclass(slots=True)
class Weighed:
    """What a word comes to beside all that was said of registrations before: by their ids, the dated ones only.

    Attributes:
        becomes: what each is by all of it together.
        overruled: those of which something newer says already that the word does not count.
        said: the words that are to be kept of each, the new one among them.
        unexplained: those that are not what the words say that were kept of them: another version of the bridge has changed them.
    """

    becomes: dict[int, Intent] = field(default_factory=dict)
    overruled: set[int] = field(default_factory=set)
    said: dict[int, list[Word]] = field(default_factory=dict)
    unexplained: set[int] = field(default_factory=set)


def said_at(row: Any) -> int:
    """Return when the newest word about a registration's money was said, in milliseconds."""
    return int(row.occurred_at if row.money_at is None else row.money_at)


def is_narrow(command: EnrollmentCommand) -> bool:
    """Say whether a command names one purchase, and not a whole subscription."""
    order = command.order
    return bool(command.business_key or order.number or order.transaction_id or order.refs)


def is_wide(command: EnrollmentCommand) -> bool:
    """Say whether a command is about a whole subscription."""
    return command.registration_id is None and command.order.subscription_id is not None and not is_narrow(command)


def word_of(unit: Unit, command: EnrollmentCommand, event_id: int, source: str) -> Word:
    """Return what a command says of a purchase, or of its whole subscription.

    ``source`` is that of the purchase where a command of another has waited for it.
    """
    kind = _UNDOING[command.undoes] if command.action is Action.RESUME else _KINDS[command.action]
    kind = _WIDE.get(kind, kind) if is_wide(command) else kind
    at, refund = milliseconds(command.occurred_at), command.refund
    if refund is None:
        return Word(event_id, kind, at, source)
    # A refund of named lines is one refund, told of when it was made; that all of the money is back may be several.
    named = kind is Kind.REFUNDED and bool(command.items) and not refund.full
    made_at = milliseconds(refund.made_at) if refund.made_at else at if named else None
    said_by = source if refund.ref is None else events.source_of(unit, event_id)
    return Word(event_id, kind, at, said_by, refund.ref, made_at)


def weigh(unit: Unit, rows: Iterable[Any], word: Word) -> Weighed:
    """Weigh a word about registrations; what their own time ended is not judged, but keeps it all the same."""
    found, dated = Weighed(), [row for row in rows if row.business_key is not None]
    kept = words.of(unit, [row.id for row in dated if row.money_at is not None])
    for row in dated:
        before = kept.get(row.id, [])
        if not _explain(row, before):
            found.unexplained |= {row.id} if before else set()
            before = found.said[row.id] = _told_by(unit, row)
        after, new = _beside(before, word)
        found.said[row.id] = [*found.said.get(row.id, ()), new]
        if Intent(row.intent) is not Intent.EXPIRED:
            found.becomes[row.id] = judge(after)
            found.overruled |= set() if stands(word, after) else {row.id}
    return found


def _beside(before: Sequence[Word], word: Word) -> tuple[list[Word], Word]:
    """Return all words, and the new one among them: a replayed event says the same again, and no older date counts then."""
    others = [one for one in before if (one.event_id, one.kind) != (word.event_id, word.kind)]
    same = [one for one in before if one not in others and one.at > word.at]
    new = same[0] if same else word
    return [*others, new], new


def weigh_bought(unit: Unit, bought: Iterable[tuple[Opened, Word]]) -> dict[int, Intent]:
    """Return what registrations are by a purchase and by what was said of them before, and keep that the purchase was.

    Of those only of which more was said than that they are bought, and which their own time has not ended.
    """
    told = {opened.id: word for opened, word in bought if opened.keyed and opened.money_at is not None}
    becomes: dict[int, Intent] = {}
    for row in words.told_of(unit, told):
        weighed = weigh(unit, [row], told[row.id])
        keep(unit, weighed, [row.id])
        becomes |= weighed.becomes
    return becomes


def keep(unit: Unit, weighed: Weighed, ids: Collection[int]) -> None:
    """Keep what was said of these registrations."""
    words.forget(unit, weighed.unexplained.intersection(ids))
    words.keep(unit, {i: said for i, said in weighed.said.items() if i in ids})


def keep_first(unit: Unit, said: Iterable[tuple[int, Word]]) -> None:
    """Keep what was said of registrations before anybody told us that they were bought: (registration id, word)."""
    found: dict[int, list[Word]] = {}
    for registration_id, word in said:
        found.setdefault(registration_id, []).append(word)
    words.keep(unit, found)
    # That something was paid, nobody has said.
    refunds = {i: [one.at for one in spoken if one.kind is Kind.REFUNDED] for i, spoken in found.items()}
    registrations.note_money(unit, [(i, max(at, default=0)) for i, at in refunds.items()])


def note(unit: Unit, command: EnrollmentCommand, effects: Iterable[tuple[Any, str]]) -> None:
    """Keep when the newest word about the money of registrations was said."""
    dated = [(row, effect) for row, effect in effects if row.business_key is not None]
    told = [(row, max(said_at(row), _moment(unit, row, command, effect))) for row, effect in dated]
    registrations.note_money(unit, [(row.id, at) for row, at in told if at != row.money_at])


def note_bought(unit: Unit, purchases: Iterable[tuple[Opened, int]]) -> None:
    """Keep that registrations which stand already were said to be paid: (registration, milliseconds)."""
    # Where nothing is kept, occurred_at becomes what the purchase says or is newer than that already.
    told = [(opened.id, at) for opened, at in purchases if opened.keyed and opened.money_at is not None]
    registrations.note_money(unit, told)


def _told_by(unit: Unit, row: Any) -> list[Word]:
    """Return what a registration says by itself of what was said of it."""
    at, money_at, kept = row.occurred_at, said_at(row), Intent(row.intent)
    # Any refund counts that is no older than that.
    answered = Word(row.event_id, Kind.FAILED, money_at - 1, row.source)
    if kept is Intent.SUSPENDED:
        return [answered, Word(row.event_id, Kind.HELD, at, row.source)]
    if kept is Intent.CANCELLED:
        kind = _TAKEN.get(events.taken_back(unit, row.id), Kind.CANCELLED)
        return [answered, Word(row.event_id, kind, money_at if kind is Kind.REFUNDED else at, row.source)]
    if row.money_at is None:
        return [Word(row.event_id, Kind.PAID, at, row.source)]
    return [answered, Word(row.event_id, Kind.FREED, at, row.source)]


def _explain(row: Any, said: Sequence[Word]) -> bool:
    kept = Intent(row.intent)
    return bool(said) and (kept is Intent.EXPIRED or judge(said) is kept)


def _moment(unit: Unit, row: Any, command: EnrollmentCommand, effect: str) -> int:
    """Return when a command said something of a registration's money; 0 where it does not."""
    at, kept = milliseconds(command.occurred_at), Intent(row.intent)
    if command.action is Action.REFUND:
        # What was cancelled before stays so, though a refund that came before that should fail.
        return max(at, row.occurred_at) if kept is Intent.CANCELLED and effect == "refunded" else at
    if command.action is Action.CANCEL:
        refunded = kept is Intent.CANCELLED and events.taken_back(unit, row.id) == "refunded"
        return at if refunded else 0
    # Senders date to the second, and nothing fails that was not tried: of one moment the failure is the newer word.
    return at + 1 if command.action is Action.RESUME and command.undoes != "holds" else 0
