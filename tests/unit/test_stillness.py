"""A bridge that stood still knows it before it takes the calls that waited in its sockets."""

from __future__ import annotations

from bridge.edge.stillness import Stillness
from tests.acceptance.rig import until


class Hand:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.at = 100.0

    def __call__(self) -> float:
        return self.at


async def test_who_stood_still_has_just_woken_for_a_second():
    """However many look; then calls are new ones again."""
    now = Hand()
    stillness = Stillness(5.0, now)
    now.at += 6
    assert [stillness.woke(), stillness.woke()] == [True, True]
    now.at += 0.9
    assert stillness.woke()
    now.at += 0.2
    assert not stillness.woke()


async def test_who_is_looked_at_now_and_then_never_stood_still():
    """A pause that is shorter than the limit is a busy moment."""
    now = Hand()
    stillness = Stillness(5.0, now)
    stillness.watch()
    for _ in range(10):
        now.at += 4.9
        assert not stillness.woke()
    stillness.end()


async def test_a_bridge_to_which_nobody_speaks_is_not_taken_for_one_that_stood_still():
    """It looks by itself, again and again."""
    looks = 0

    def now() -> float:
        nonlocal looks
        looks += 1
        return 100.0

    stillness = Stillness(0.03, now)
    stillness.watch()
    await until(lambda: looks >= 5)
    stillness.end()
    assert not stillness.woke()
