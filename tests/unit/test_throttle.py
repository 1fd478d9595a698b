"""The throttle of addresses that anybody may call."""

from __future__ import annotations

from datetime import UTC, datetime

from bridge.edge import throttle
from bridge.edge.throttle import Throttle
from bridge.kit.clock import SetClock


def test_so_many_in_a_window_and_no_more() -> None:
    """Key by key, and anew when the window is over."""
    clock = SetClock(datetime(2026, 3, 1, tzinfo=UTC))
    lets = Throttle(2, 60.0, clock).lets
    assert [lets("a"), lets("a"), lets("a"), lets("b")] == [True, True, False, True]
    clock.move(59)
    assert not lets("a")
    clock.move(1)
    assert lets("a")


def test_it_does_not_grow_without_end() -> None:
    """The keys that were seen first are forgotten first."""
    kept = Throttle(1, 60.0, SetClock(datetime(2026, 3, 1, tzinfo=UTC)))
    most = throttle._MOST_KEYS
    assert all(kept.lets(str(n)) for n in range(most + 1))
    assert len(kept._windows) == most
    assert kept.lets("0")
    assert not kept.lets(str(most))
