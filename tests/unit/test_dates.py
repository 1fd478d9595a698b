"""How far our clock is from a target's, by the dates of its answers."""

from __future__ import annotations

import time
from email.utils import formatdate

from bridge.kit.dates import Dates


def test_the_difference_is_that_of_the_newest_answer() -> None:
    """A clock that runs ahead shows a positive number."""
    dates = Dates()
    assert dates.ahead is None
    dates.note({"Date": formatdate(time.time() + 900, usegmt=True)})
    dates.note({"Date": formatdate(time.time() - 600, usegmt=True)})
    assert dates.ahead is not None
    assert 599 <= dates.ahead <= 603


def test_what_tells_nothing_is_passed_over() -> None:
    """Nonsense, no date, and an answer that a cache kept."""
    dates = Dates()
    for headers in ({}, {"Date": "yesterday"}, {"Date": "Mon, 99 Foo 2026 99:99:99 GMT"}):
        dates.note(headers)
        assert dates.ahead is None
    dates = Dates()
    dates.note({"Date": formatdate(0, usegmt=True), "Age": "86400"})
    assert dates.ahead is None
