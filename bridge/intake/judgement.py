"""What follows of all that was said of a purchase, in whatever order it was heard. Pure.

Whatever takes a purchase back does so until a later word undoes it, and a hold lasts until a later word ends it. Each word
undoes its own kind only: a refund that failed takes back neither another refund, nor a cancellation, nor a dispute.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from bridge.ledger.states import Intent
from bridge.ledger.words import Kind, Word

NEAR: Final = 3_600_000
"""Milliseconds within which two sources may date one refund differently. Refunds nearer than that are not told apart."""

_UNDO: Final = {
    Kind.HELD: frozenset({Kind.PAID, Kind.FREED, Kind.GOES_ON, Kind.RESTORED}),
    Kind.CANCELLED: frozenset({Kind.PAID, Kind.FREED, Kind.RESTORED}),
    Kind.ENDED: frozenset({Kind.PAID, Kind.FREED, Kind.GOES_ON, Kind.RESTORED}),
    Kind.REFUNDED: frozenset({Kind.PAID}),
}
"""What undoes what, if it was said later. Of one moment, what takes away counts over what gives."""

_GIVES_BACK: Final = frozenset({Kind.FAILED, Kind.RESTORED})


def judge(words: Iterable[Word]) -> Intent:
    """Return what a purchase is by all that was said of it: live, suspended or cancelled."""
    said = list(words)
    left = {word.kind for word in said if word.kind in _UNDO and stands(word, said)}
    if left - {Kind.HELD}:
        return Intent.CANCELLED
    return Intent.SUSPENDED if left else Intent.LIVE


def stands(word: Word, words: Iterable[Word]) -> bool:
    """Say whether nothing of what was said undoes a hold or what takes a purchase back."""
    return not any(_undoes(other, word) for other in words)


def is_of(failure: Word, refund: Word) -> bool:
    """Say whether what a failure says may be said of this refund.

    By their ids where one source gives both. Else by when they were made, where that is known of both: of a refund of named
    lines it is. That all of the money is back is not so any more whichever refund has failed. What can't be told apart is taken
    for the one that failed.
    """
    # Senders date to the second, and nothing fails that was not tried: of one moment the failure is the newer word.
    if refund.at > failure.at:
        return False
    if failure.ref is not None and refund.ref is not None and failure.source == refund.source:
        return failure.ref == refund.ref
    if failure.made_at is None or refund.made_at is None:
        return True
    return abs(refund.made_at - failure.made_at) <= NEAR


def _undoes(other: Word, word: Word) -> bool:
    if word.kind is Kind.REFUNDED and other.kind in _GIVES_BACK:
        return is_of(other, word)
    return other.kind in _UNDO.get(word.kind, ()) and other.at > word.at
