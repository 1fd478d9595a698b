"""The next period of a subscription with seats, told of before it is paid: nobody is kept out, and no link dies of it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bridge.contract.command import Action, EnrollmentCommand, Options
from bridge.jobs.expiry import expire
from bridge.kit.clock import milliseconds
from tests.ledger.rig import World, at, buy, cancel
from tests.ledger.test_later import DAY, SUB, fails, pass_to
from tests.ledger.test_seats import EVE, EVERYWHERE, JOE, claim, codes, seats_of, several


def month(n: int, *, paid: bool = True, minute: float = 0, quantity: int = 4) -> EnrollmentCommand:
    """One period of the subscription, which lasts thirty days from the begin of the one before."""
    ends = Options(expires_at=at(0) + timedelta(days=30 * (n + 1)))
    command = buy(
        several("INTRO", quantity), minute=30 * DAY * n + minute, order=f"period-{n}", options=ends, paid=paid
    )
    return command.model_copy(update={"order": SUB})


async def then(world: World, command: EnrollmentCommand) -> list[int]:
    """Take a command in when it happened."""
    world.now = milliseconds(command.occurred_at)
    return await world.ids(command)


@pytest.mark.parametrize("paid_by", ["a resumption", "the purchase told again"])
async def test_links_work_before_the_next_period_is_paid_and_after(world: World, paid_by: str):
    """Under the former period as long as that lasts, then under the new one; whoever claimed is in for both."""
    [first] = await world.ids(month(0))
    one, two, three = await codes(world, first)
    await claim(world, one)
    [second] = await then(world, month(1, paid=False, minute=-DAY))
    assert [state for _, state, _ in await seats_of(world, second)] == ["claimed"]
    assert (await claim(world, two, JOE)).became == "claimed"
    assert (await world.wanted())["email:joe@example.org"] == 1
    if paid_by == "a resumption":
        await then(world, cancel(action=Action.RESUME, business_key="period-1", minute=30 * DAY))
    else:
        await then(world, month(1))
    assert await seats_of(world, second) == [(1, "claimed", ""), (2, "claimed", ""), (3, "open", "")]
    await world.ledger.write(lambda unit: expire(unit, world.catalogue, milliseconds(at(31 * DAY))))
    world.now = milliseconds(at(31 * DAY))
    assert await world.wanted() == {"id:shop:ada": 1, EVERYWHERE: 1, "email:joe@example.org": 1}
    assert (await claim(world, three, EVE)).became == "another"
    kim = EVE.model_copy(update={"email": "kim@example.org"})
    assert (await claim(world, three, kim)).became == "claimed"
    assert len(await seats_of(world, first)) == 2


async def test_a_period_that_is_never_paid_takes_no_link_with_it(world: World):
    """The one after it, paid at once, has them all; a greater quantity of the unpaid one made no number twice."""
    [first] = await world.ids(month(0))
    one, two, three = await codes(world, first)
    [second] = await then(world, month(1, paid=False, quantity=5))
    assert [number for number, _, _ in await seats_of(world, second)] == [4]
    await then(world, cancel(business_key="period-1", minute=32 * DAY))
    [third] = await then(world, month(2))
    assert await codes(world, third) == [one, two, three]
    assert (await claim(world, two)).became == "claimed"


async def test_links_that_waited_with_a_failed_payment_work_in_the_next_period(world: World):
    """The first learner's own time was over when the payment failed; the links that were handed out are good again."""
    line = buy(several("YEAR", 3), order="o-1", minute=-358 * DAY).model_copy(update={"order": SUB})
    [first] = await world.ids(line)
    one, two = await codes(world, first)
    await claim(world, one)
    await world.ledger.write(lambda unit: expire(unit, world.catalogue, milliseconds(at(8 * DAY))))
    world.now = milliseconds(at(9 * DAY))
    await world.accept(fails(9 * DAY))
    await pass_to(world, 20 * DAY)
    assert (await claim(world, two, JOE)).became == "held"
    again = buy(several("YEAR", 3), order="o-2", minute=21 * DAY).model_copy(update={"order": SUB})
    [second] = await then(world, again)
    assert await codes(world, second) == [two]
    assert (await claim(world, two, JOE)).became == "claimed"
    assert set((await world.wanted()).values()) == {1}


async def test_links_on_hold_by_a_failed_payment_work_once_it_is_paid(world: World):
    """Suspended after the grace, while the line itself lives: the next payment opens them under its own period."""
    [first] = await world.ids(month(0))
    one, two, _ = await codes(world, first)
    await claim(world, one)
    await world.accept(fails(5 * DAY))
    await pass_to(world, 14 * DAY)
    assert (await claim(world, two, JOE)).became == "claimed", "the grace is not over"
    await pass_to(world, 16 * DAY)
    [second] = await then(world, month(1, minute=-10 * DAY))
    assert len(await codes(world, second)) == 1
    assert set((await world.wanted()).values()) == {1}
