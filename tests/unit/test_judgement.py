"""What follows of all that was said of a purchase: a table, and that the order in which it was heard says nothing."""

from __future__ import annotations

from itertools import permutations

import pytest

from bridge.intake.judgement import NEAR, is_of, judge
from bridge.ledger.states import Intent
from bridge.ledger.words import Kind, Word

WORDS = {kind.value: kind for kind in Kind}


def said(words: str) -> list[Word]:
    """Return what ``"paid0 refunded3"`` means: what was said, and when."""
    found = []
    for n, word in enumerate(words.split()):
        kind = word.rstrip("0123456789")
        found.append(Word(n, WORDS[kind], int(word.removeprefix(kind)), "shop"))
    return found


@pytest.mark.parametrize(
    ("words", "becomes"),
    [
        ("", "live"),
        ("paid0", "live"),
        ("paid0 held2", "suspended"),
        ("paid0 held2 freed2", "suspended"),
        ("paid0 held2 freed3", "live"),
        ("paid0 held2 goes_on3", "live"),
        ("paid0 held2 failed3", "suspended"),
        ("paid3 held2", "live"),
        ("paid0 cancelled2 freed3", "live"),
        ("paid0 cancelled2 goes_on3", "cancelled"),
        ("paid0 cancelled2 failed3", "cancelled"),
        ("paid0 ended2 goes_on3", "live"),
        ("paid0 ended2 failed3", "cancelled"),
        ("paid0 refunded3 freed4", "cancelled"),
        ("paid3 refunded3", "cancelled"),
        ("paid4 refunded3", "live"),
        ("paid0 refunded3 failed3", "live"),
        ("paid0 refunded3 failed2", "cancelled"),
        ("paid0 refunded3 refunded5 failed4", "cancelled"),
        ("paid0 refunded3 restored3", "live"),
        ("paid0 held2 refunded3 failed4", "suspended"),
        ("paid0 held2 refunded3 restored4", "live"),
        ("paid0 refunded2 held3 failed4", "suspended"),
        ("paid0 refunded2 held3 failed4 freed5", "live"),
        ("paid0 refunded2 held3 failed4 cancelled5", "cancelled"),
        ("paid0 refunded2 held3 paid4", "live"),
        ("paid0 refunded2 paid3 held4", "suspended"),
        ("paid0 cancelled2 refunded3 failed4", "cancelled"),
    ],
)
def test_what_was_said_decides_and_not_the_order_in_which_it_was_heard(words: str, becomes: str):
    """A taking back and a hold last until a later word undoes their own kind."""
    assert {judge(order) for order in permutations(said(words))} == {Intent(becomes)}


@pytest.mark.parametrize(
    ("failure", "refund", "same"),
    [
        ({"ref": "A"}, {"ref": "A"}, True),
        ({"ref": "A"}, {"ref": "B"}, False),
        ({"ref": "A"}, {"ref": "B", "source": "till"}, True),  # another system's ids say nothing
        ({"ref": "A"}, {}, True),
        ({}, {"ref": "B"}, True),
        ({"ref": "A", "made_at": 9 * NEAR}, {"ref": "A"}, True),
        ({"made_at": 3 * NEAR}, {}, True),
        ({"made_at": 9 * NEAR}, {}, True),  # all of the money was said to be back, and is not
        ({}, {"made_at": 4 * NEAR}, True),
        ({"made_at": 3 * NEAR}, {"made_at": 4 * NEAR}, True),
        ({"made_at": 4 * NEAR}, {"made_at": 3 * NEAR}, True),
        ({"made_at": 3 * NEAR}, {"made_at": 4 * NEAR + 1}, False),  # made after it
        ({"made_at": 4 * NEAR + 1}, {"made_at": 3 * NEAR}, False),  # made before it
        ({"at": 5 * NEAR}, {}, True),
        ({"at": 5 * NEAR - 1}, {}, False),
        ({"at": 5 * NEAR - 1, "ref": "A"}, {"ref": "A"}, False),
    ],
)
def test_which_refund_has_failed_is_told_by_its_id_or_by_when_it_was_made(failure: dict, refund: dict, *, same: bool):
    """What can't be told apart is taken for the one that failed, and nothing fails before it is tried."""
    failed = Word(1, Kind.FAILED, **{"at": 10 * NEAR, "source": "shop"} | failure)
    assert is_of(failed, Word(2, Kind.REFUNDED, **{"at": 5 * NEAR, "source": "shop"} | refund)) is same
