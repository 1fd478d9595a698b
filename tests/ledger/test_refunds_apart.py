"""A refund that failed gives back what it took, and leaves what another refund, a cancellation or a dispute has taken."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest

from bridge.contract.command import Action, EnrollmentCommand, Refund
from tests.ledger.rig import PAY, SHOP, World, at, buy, cancel
from tests.ledger.test_half_mapped import half, intents, released, waiting
from tests.ledger.test_seats import bought, claim, codes, seats_of

HOUR = 60


def part(product: str, minute: float, order: str = "o-1", **more: Any) -> EnrollmentCommand:
    """A refund of one line, told by the one who sold it."""
    told = Refund(full=False, **more)
    return cancel(product, action=Action.REFUND, refund=told, business_key=order, minute=minute)


def whole(minute: float, order: str = "o-1", **more: Any) -> EnrollmentCommand:
    """All of the money is back, whoever gave it in how many refunds."""
    return cancel(action=Action.REFUND, refund=Refund(**more), business_key=order, minute=minute)


def failed(minute: float, order: str = "o-1", made: float | None = None, **more: Any) -> EnrollmentCommand:
    """A refund did not go through, which was made in that minute."""
    of = Refund(made_at=None if made is None else at(made), **more)
    return cancel(action=Action.RESUME, undoes="refunds", refund=of, business_key=order, minute=minute)


def restored(minute: float, **more: Any) -> EnrollmentCommand:
    """Whatever took the order back does so no longer, but for what it says nothing of."""
    return cancel(action=Action.RESUME, undoes="all", refund=Refund(**more), business_key="o-1", minute=minute)


def two_lines(order: str = "o-1", minute: float = 0) -> EnrollmentCommand:
    return buy("INTRO", "ETHICS", order=order, minute=minute)


async def story(world: World, *told: EnrollmentCommand) -> dict[str, str]:
    """Have one thing told after the other; return what is wanted of each line of the order."""
    for one in told:
        assert (await world.accept(one)).kind == "accepted"
    return await intents(world)


BOTH = {"INTRO": "live", "ETHICS": "live"}
ETHICS_ALONE = {"INTRO": "cancelled", "ETHICS": "live"}
NEITHER = {"INTRO": "cancelled", "ETHICS": "cancelled"}


@pytest.mark.parametrize(
    ("told", "ends"),
    [
        # By when the failed one was made: a part that was given back long before or after that is another.
        ([part("INTRO", 1), whole(5 * HOUR), failed(9 * HOUR, made=5 * HOUR)], ETHICS_ALONE),
        ([part("INTRO", 1), part("ETHICS", 5 * HOUR), failed(9 * HOUR, made=5 * HOUR)], ETHICS_ALONE),
        ([part("ETHICS", 1), part("INTRO", 5 * HOUR), failed(9 * HOUR, made=1)], ETHICS_ALONE),
        ([part("INTRO", 1), whole(5 * HOUR), failed(9 * HOUR, made=5 * HOUR), failed(10 * HOUR, made=1)], BOTH),
        # All of the money is not back any more, whichever part of it has failed, and whoever said before that it is.
        ([part("INTRO", 1), whole(5 * HOUR), failed(9 * HOUR, made=1)], BOTH),
        ([whole(1), failed(9 * HOUR, made=5 * HOUR)], BOTH),
        ([whole(1), whole(5 * HOUR), failed(9 * HOUR, made=5 * HOUR)], BOTH),
        # By their ids, however near they are.
        ([part("INTRO", 1, ref="a"), part("ETHICS", 2, ref="b"), failed(3, ref="b")], ETHICS_ALONE),
        ([part("INTRO", 1, ref="a"), whole(2, ref="b"), failed(3, ref="b")], ETHICS_ALONE),
        ([part("INTRO", 1, ref="a"), part("ETHICS", 2, ref="b"), failed(3, ref="c")], NEITHER),
        ([part("INTRO", 1, ref="a"), failed(3, ref="b"), part("ETHICS", 2, ref="c")], NEITHER),
        # A reversal that is cancelled is no word about a refund beside it.
        ([whole(1, ref="reversal"), whole(2, ref="b"), restored(3, ref="reversal")], NEITHER),
        ([whole(1, ref="reversal"), part("INTRO", 2, ref="b"), restored(3, ref="reversal")], ETHICS_ALONE),
        ([whole(1, ref="reversal"), restored(3, ref="reversal")], BOTH),
        # Nobody can say which: the learner is in.
        ([part("INTRO", 1), whole(5 * HOUR), failed(9 * HOUR)], BOTH),
        ([part("INTRO", 1), part("ETHICS", 2), failed(9 * HOUR, made=2)], BOTH),
        # Not by a refund at all.
        ([cancel("INTRO", business_key="o-1", minute=1), whole(2), failed(3)], ETHICS_ALONE),
        ([cancel("INTRO", business_key="o-1", minute=2), whole(1), failed(3)], ETHICS_ALONE),
    ],
)
async def test_a_failed_refund_gives_back_what_it_took(world: World, told: list[EnrollmentCommand], ends: dict):
    """And nothing of what something else has taken, where that can be told."""
    assert await story(world, two_lines(), *told) == ends
    assert (await world.wanted())["id:shop:ada"] == (ends["ETHICS"] == "live" or ends["INTRO"] == "live")
    again = [one for one in told if one.action is not Action.RESUME]
    assert await story(world, *again, *told[-1:], two_lines()) == ends, "late copies"


async def test_refunds_are_told_apart_in_whatever_order_they_are_heard_of(world: World):
    """One of a line, one of the rest, the failure of that and a dispute; the purchase comes first, last or between."""
    words = [
        lambda order: part("INTRO", 1, order),
        lambda order: whole(5 * HOUR, order),
        lambda order: cancel(action=Action.SUSPEND, business_key=order, minute=6 * HOUR),
        lambda order: failed(9 * HOUR, order, made=5 * HOUR),
    ]
    orders = {}
    for n, arrival in enumerate(permutations(words)):
        orders[f"o-{n}"] = [*arrival[: n % 5], lambda order: two_lines(order, 0), *arrival[n % 5 :]]
    for turn in range(5):
        await world.together(*(told[turn](order) for order, told in orders.items()))
    rows = await world.rows("SELECT business_key, remote_product_id, intent FROM registration")
    assert {(row.remote_product_id, row.intent) for row in rows} == {("INTRO", "cancelled"), ("ETHICS", "suspended")}
    assert len(rows) == 2 * len(orders)


async def test_another_system_s_ids_say_nothing(world: World):
    """What the shop calls its refund, the payment system calls another name."""
    await world.accept(two_lines())
    await world.accept(part("INTRO", 1, ref="77"), source=SHOP)
    await world.accept(failed(3, ref="re_1"), source=PAY)
    assert await intents(world) == BOTH


async def test_a_failure_says_of_which_refund_it_is_after_it_has_waited_for_the_purchase(world: World):
    """It waits in quarantine with all that it says."""
    await world.accept(failed(9 * HOUR, made=5 * HOUR, ref="b"))
    assert await world.counts("parked_key") == {"parked_key": 1}
    assert await story(world, two_lines(), part("INTRO", 1), whole(5 * HOUR)) == ETHICS_ALONE


async def test_a_claimed_seat_is_suspended_when_the_refund_of_its_disputed_order_fails(world: World):
    """It comes back with its order as far as that comes back; an open link is one again, and opens when the dispute is won."""
    line = await bought(world, 3, order="o-1")
    first, second = await codes(world, line)
    claimed = await claim(world, first)
    await story(world, whole(1), cancel(action=Action.SUSPEND, business_key="o-1", minute=2), failed(3))
    rows = await world.rows("SELECT id, intent FROM registration ORDER BY id")
    assert [(row.id, row.intent) for row in rows] == [(line, "suspended"), (claimed.registration_id, "suspended")]
    assert await seats_of(world, line) == [(1, "claimed", ""), (2, "open", "")]
    assert (await claim(world, second)).became == "held"
    assert set((await world.wanted()).values()) == {0}
    await world.accept(cancel(action=Action.RESUME, business_key="o-1", minute=4))
    assert set((await world.wanted()).values()) == {1}


@pytest.mark.parametrize("first", ["hold", "refund"])
async def test_a_line_that_waits_is_held_when_the_refund_of_its_disputed_order_fails(world: World, first: str):
    """The dispute was told before the refund or after it: the line waits again, and gives nothing until it is won."""
    await half(world)
    words = [whole(2), cancel(action=Action.SUSPEND, business_key="o-1", minute=1 if first == "hold" else 3)]
    await story(world, *(words[::-1] if first == "hold" else words))
    assert await waiting(world) == []
    await world.accept(failed(4))
    assert await waiting(world) == ["unmapped"]
    assert await released(world) == ["released"]
    assert await intents(world) == {"INTRO": "suspended", "NEW": "suspended"}
    assert set((await world.wanted()).values()) == {0}
    await world.accept(cancel(action=Action.RESUME, business_key="o-1", minute=5))
    assert set((await world.wanted()).values()) == {1}


async def test_what_is_told_again_says_nothing_new(world: World):
    """A replayed failure, a copy of the order: what was said stays said, once."""
    await story(world, two_lines(), part("INTRO", 1), whole(5 * HOUR), failed(9 * HOUR, made=5 * HOUR))
    before = await world.rows("SELECT registration_id, kind, at FROM word ORDER BY registration_id, at, kind")
    await story(world, two_lines())
    assert len(await world.rows("SELECT * FROM word")) == len(before) + 2  # that it was paid, told by another event
    assert await intents(world) == ETHICS_ALONE


async def test_a_purchase_of_which_nothing_is_said_has_no_words(world: World):
    """Neither has one that is told again."""
    await story(world, two_lines(), two_lines(), two_lines("o-2"))
    assert await world.counts("word") == {"word": 0}


@pytest.mark.parametrize("lost", ["DELETE FROM word", "DELETE FROM word WHERE kind = 'refunded'"])
async def test_what_another_version_of_the_bridge_has_changed_is_judged_by_what_it_is(world: World, lost: str):
    """It keeps no words: then the registration tells by itself what was said of it, as it always did."""
    await story(world, two_lines(), whole(2))
    await world.ledger.write(lambda unit: unit.run(lost))
    assert await story(world, failed(1)) == NEITHER
    assert await story(world, failed(3)) == BOTH
    assert await story(world, whole(2)) == BOTH
    await world.ledger.write(lambda unit: unit.run("DELETE FROM word"))
    assert await story(world, whole(2)) == BOTH
    assert await story(world, cancel(action=Action.SUSPEND, business_key="o-1", minute=4)) == dict.fromkeys(
        BOTH, "suspended"
    )
