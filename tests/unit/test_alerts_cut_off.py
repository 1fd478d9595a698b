"""What is too much to count is not over."""

from __future__ import annotations

from bridge.jobs.alerts.causes import cut_off
from bridge.ledger import causes
from bridge.ledger.alerts import Sighting


def test_an_alert_beyond_the_most_that_is_counted_stays_open() -> None:
    """An open alert whose kind was not counted to its end is doubtful; one of a kind that was is not."""
    gone = [("unmapped", "shop: gone"), ("unreadable", "shop")]
    flood = [Sighting("unmapped", f"shop: {n}", "said") for n in range(causes.GROUPS)]
    assert cut_off(flood, gone) == gone[:1]
    assert cut_off([Sighting("unmapped", "shop: 1", "said", count=causes.MOST)], gone) == gone[:1]
    assert cut_off(flood[1:], gone) == []
