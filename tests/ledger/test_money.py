"""What was said of a purchase's money decides by its time, whatever was said of holds meanwhile, and whatever comes first."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import permutations

import pytest

from bridge.contract.command import Action, EnrollmentCommand, Learner
from tests.ledger.rig import World, buy, cancel, refund

SAYINGS: dict[str, Callable[..., EnrollmentCommand]] = {
    "buy": lambda order, minute: buy("INTRO", who=Learner(email=f"{order}@example.org"), order=order, minute=minute),
    "hold": lambda order, minute: cancel(action=Action.SUSPEND, business_key=order, minute=minute),
    "end": lambda order, minute: cancel(action=Action.RESUME, business_key=order, minute=minute),
    "lost": lambda order, minute: cancel(business_key=order, minute=minute),
    "pending": lambda order, minute: refund(business_key=order, minute=minute, pending=True),
    "refund": lambda order, minute: refund(business_key=order, minute=minute),
    "failed": lambda order, minute: cancel(action=Action.RESUME, business_key=order, minute=minute, undoes="refunds"),
}


def says(word: str, order: str) -> EnrollmentCommand:
    """Return what a word like ``refund3`` means: what, and in which minute."""
    kind = word.rstrip("0123456789")
    return SAYINGS[kind](order, int(word.removeprefix(kind)))


async def ends(world: World, cases: dict[str, str]) -> None:
    """Have each of these told of an order of its own, all at once and word by word, end as it should."""
    told = {f"o-{n}": words.split() for n, words in enumerate(cases)}
    for turn in range(max(map(len, told.values()))):
        said = [says(words[turn], order) for order, words in told.items() if turn < len(words)]
        assert not [one for one in await world.together(*said) if one.kind == "unavailable"]
    rows = await world.rows("SELECT business_key, intent FROM registration")
    found = {row.business_key: row.intent for row in rows}
    assert {words: found[f"o-{n}"] for n, words in enumerate(cases)} == cases


async def test_a_refund_takes_access_away_although_a_copy_of_the_order_came_after_the_dispute(world: World):
    """A copy that is no newer than the refund does not say that the money is there again; one that is newer does."""
    await ends(
        world,
        {
            "buy0 hold2 end6 buy0 refund3": "cancelled",
            "buy0 hold2 end6 buy1 refund3": "cancelled",
            "buy0 hold2 buy0 end6 refund3": "cancelled",
            "buy0 hold2 buy0 refund3 end6": "cancelled",
            "buy0 hold2 end6 buy3 refund3": "cancelled",
            "buy0 hold2 end6 buy4 refund5": "cancelled",
            "buy0 hold2 end6 buy4 refund3": "live",
            "buy0 hold2 end6 buy8 refund5": "live",
            "buy0 hold2 end6 refund3 buy4": "live",
            "buy0 hold2 end6 refund3 buy3": "cancelled",
            "buy0 hold2 end6 refund3 buy0": "cancelled",
        },
    )


async def test_a_copy_of_a_refund_that_failed_takes_nothing_away(world: World):
    """Whatever came between: the money stayed with the seller."""
    await ends(
        world,
        {
            "buy0 refund1 failed3 refund1": "live",
            "buy0 pending1 failed3 refund1": "live",
            "buy0 pending1 failed3 failed3 refund1": "live",
            "buy0 refund1 failed3 failed3 refund2": "live",
            "buy0 hold2 failed3 end4 refund1": "live",
            "buy0 hold2 failed4 end3 refund1": "live",
            "buy0 hold2 failed4 refund3 end5": "live",
            "buy0 failed3 hold4 refund1 end5": "live",
            "buy0 failed3 hold4 end5 refund1": "live",
            "buy0 refund1 failed3 hold4 refund2": "suspended",
            "failed3 buy0 refund1": "live",
            "failed3 refund1 buy0 refund2": "live",
        },
    )


async def test_a_refund_that_failed_comes_back_although_an_end_of_a_hold_is_newer(world: World):
    """It undoes the refund, which is older, and the end of the hold has nothing against it."""
    await ends(
        world,
        {
            "buy0 hold2 end6 refund3 failed4": "live",
            "buy0 hold2 end6 refund3 failed4 refund3": "live",
            "buy0 hold2 end6 refund3 failed4 hold5": "live",
            "buy0 hold2 end6 refund3 failed4 refund5": "cancelled",
            "buy0 hold2 end6 refund5 failed4": "cancelled",
            "buy0 hold2 end6 refund3 refund5 failed4": "cancelled",
        },
    )


async def test_of_two_refunds_the_one_that_was_good_counts(world: World):
    """Also where it comes last, and was told between the other's failure and the end of a dispute."""
    await ends(
        world,
        {
            "buy0 refund1 failed3 refund4": "cancelled",
            "buy0 refund1 refund4 failed3": "cancelled",
            "buy0 refund4 refund1 failed3": "cancelled",
            "buy0 refund1 failed3 hold4 end6 refund5": "cancelled",
            "buy0 refund1 failed3 refund4 failed5 refund4": "live",
        },
    )


async def test_a_dispute_that_is_lost_counts_whatever_became_of_a_refund(world: World):
    """The money is gone by that road; a refund before it says nothing more, and neither does its failure."""
    await ends(
        world,
        {
            "buy0 refund1 failed3 hold5 lost6": "cancelled",
            "buy0 refund1 failed3 hold5 lost6 refund1 end7": "live",
            "buy0 refund3 lost5 failed4": "cancelled",
            "buy0 lost5 refund3 failed4": "cancelled",
            "buy0 lost5 failed4 refund3": "cancelled",
            "buy0 lost5 failed4 refund3 end6": "live",
            "buy0 lost2 end5 refund1": "cancelled",
            "buy0 lost5 refund3 end6": "cancelled",
            "buy0 hold1 end3 lost5 refund4 end6": "cancelled",
        },
    )


async def test_a_dispute_goes_on_when_a_refund_fails(world: World):
    """Opened before the refund or while it stood: nobody is in until it is won, or until the order is paid anew."""
    await ends(
        world,
        {
            "buy0 refund2 hold3 failed4": "suspended",
            "buy0 refund2 hold3 hold4 failed5": "suspended",
            "buy0 hold1 refund2 failed4": "suspended",
            "buy0 refund2 failed4 hold3": "suspended",
            "buy0 refund2 failed3 hold3": "suspended",
            "buy0 failed4 hold3": "suspended",
            "buy0 refund2 hold3 failed4 refund2": "suspended",
            "buy0 refund2 hold3 failed4 refund5": "cancelled",
            "buy0 refund2 hold3 failed4 end5": "live",
            "buy0 refund2 hold3 end4 failed5": "live",
            "buy0 refund2 hold3 end5 failed4": "live",
            "buy0 refund2 end5 hold3 failed4": "live",
            "buy0 refund2 hold3 failed4 lost5": "cancelled",
            "buy0 refund2 hold3 lost4 failed5": "cancelled",
            "buy0 refund2 hold3 lost4 failed5 end6": "live",
            "buy0 refund2 hold3 failed4 buy5": "live",
            "buy0 refund2 hold5 buy4": "suspended",
            "buy0 refund2 hold5 buy4 end6": "live",
            "buy0 refund2 hold3 buy4": "live",
        },
    )


async def test_what_was_cancelled_stays_so_when_a_refund_of_it_fails(world: World):
    """The refund took nothing that was not taken already."""
    await ends(
        world,
        {
            "buy0 lost2 refund3 failed4": "cancelled",
            "buy0 refund3 failed4 lost2": "cancelled",
            "buy0 lost2 refund3 failed4 end5": "live",
        },
    )


async def test_a_refund_and_its_failure_of_one_moment_are_told_apart_by_what_comes_of_what(world: World):
    """Senders date to the second, and nothing fails that was not tried: the customer has paid."""
    await ends(
        world,
        {
            "buy0 refund3 failed3": "live",
            "buy0 failed3 refund3": "live",
            "buy0 hold2 failed3 end4 refund3": "live",
            "buy3 refund3": "cancelled",
        },
    )


@pytest.mark.parametrize(
    ("words", "end"),
    [
        ("hold2 refund3 failed4 end6", "live"),
        ("hold2 failed3 refund4 end6", "cancelled"),
        ("refund2 failed4 hold5 end6", "live"),
        ("refund2 hold3 failed4", "suspended"),
        ("hold1 refund2 failed4", "suspended"),
        ("refund2 hold3 failed4 end6", "live"),
        ("refund2 hold3 lost4 failed5", "cancelled"),
    ],
)
async def test_the_order_of_arrival_makes_no_difference(world: World, words: str, end: str):
    """What was told at which time decides, also where the purchase comes in the middle, or last."""
    arrivals = enumerate(list(order) for order in permutations(words.split()))
    told = [" ".join([*order[: n % 5], "buy0", *order[n % 5 :]]) for n, order in arrivals]
    await ends(world, dict.fromkeys(told, end))


async def test_two_bridges_that_hear_of_a_refund_and_of_its_failure_at_once_agree(pair: tuple[World, World]):
    """Whichever is written first, what the other has said is seen."""
    orders = [f"o-{n}" for n in range(8)]
    for word in ("buy0", "hold2", "end6"):
        await pair[0].together(*(says(word, order) for order in orders))
    told = [("refund3", "failed4"), ("failed4", "refund3")]
    heard = await asyncio.gather(
        *(world.accept(says(told[n % 2][m], order)) for n, order in enumerate(orders) for m, world in enumerate(pair))
    )
    assert {one.kind for one in heard} == {"accepted"}
    rows = await pair[1].rows("SELECT intent, money_at FROM registration")
    assert {row.intent for row in rows} == {"live"}
    assert len({row.money_at for row in rows}) == 1
