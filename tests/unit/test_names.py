"""Names as senders write them."""

from __future__ import annotations

import pytest

from bridge.kit.names import clean, first_and_last, split


@pytest.mark.parametrize(
    ("whole", "expected"),
    [
        ("Ada Lovelace", ("Ada", "Lovelace")),
        ("Ana Maria  de Souza", ("Ana Maria de", "Souza")),
        ("Prince", ("Prince", "")),
        ("", ("", "")),
        ("  ", ("", "")),
        ("山田 太郎", ("山田", "太郎")),
        ("محمد علي", ("محمد", "علي")),
        ("Tom &amp; Jerry O&#039;Neil", ("Tom & Jerry", "O'Neil")),
    ],
)
def test_a_name_in_one_field_is_split_and_nothing_is_lost(whole, expected):
    """Put together again, it is the name."""
    assert split(whole) == expected
    assert " ".join(part for part in split(whole) if part) == clean(whole)


def test_two_fields_count_before_one():
    """The one is used only where neither of the two is there."""
    assert first_and_last("Ada", "", "Somebody Else") == ("Ada", "")
    assert first_and_last("", " Lovelace ", "Somebody Else") == ("", "Lovelace")
    assert first_and_last("", "", "Somebody Else") == ("Somebody", "Else")


def test_a_name_of_any_length_can_be_kept():
    """Longer than the ledger takes, it is cut, and nobody is turned away for it."""
    assert len(clean("x" * 10_000)) == 500
