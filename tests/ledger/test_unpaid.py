"""A purchase that is told of before it is paid: kept, and given when a later word says that it is paid."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bridge.contract.command import Action, EnrollmentCommand
from bridge.intake.release import release
from bridge.ledger import quarantine
from tests.ledger.rig import AMS, CRM, LMS, NEWS, SHOP, World, at, buy, cancel, mapping, with_targets


def order(*products: str, minute: float = 0, **more) -> EnrollmentCommand:
    return buy(*products, order="o-1", minute=minute, paid=False, **more)


def paid(minute: float = 1) -> EnrollmentCommand:
    return cancel(action=Action.RESUME, business_key="o-1", minute=minute)


async def test_it_has_a_registration_and_gives_nothing(world: World):
    """Neither the LMS nor anybody else hears of it."""
    world.catalogue = with_targets(LMS, CRM, NEWS)
    [registration] = await world.ids(order("INTRO"))
    assert await world.state(registration) == "suspended"
    assert await world.wanted() == {"id:shop:ada": 0}
    for target in ("lms", "crm", "news"):
        assert await world.operations(target) == []


async def test_what_the_sender_is_told_is_the_state_it_is_in(world: World):
    """The answer says suspended at once, and a repeat says so, too."""
    first, second = [await world.accept(order("INTRO", minute=minute)) for minute in (0, 1)]
    assert [(line.state, line.repeat) for line in (*first.lines, *second.lines)] == [
        ("suspended", False),
        ("suspended", True),
    ]


async def test_a_later_word_that_names_no_product_gives_it(world: World):
    """As a status change does that carries the order's number alone."""
    world.catalogue = with_targets(LMS, CRM)
    [registration] = await world.ids(order("BUNDLE"))
    assert await world.ids(paid()) == [registration]
    assert await world.operations("lms") == ["grant", "grant"]
    assert await world.operations("crm") == ["contact"]
    assert await world.state(registration) == "active"


async def test_the_paid_purchase_itself_gives_it(world: World):
    """Under the same registration, and access that ends counts from the payment."""
    [registration] = await world.ids(order("YEAR"))
    assert await world.ids(buy("YEAR", order="o-1", minute=60)) == [registration]
    assert await world.operations("lms") == ["grant"]
    ends = await world.one('SELECT expires_at FROM "grant" WHERE live = 1')
    assert ends == int((at(60) + timedelta(days=365)).timestamp() * 1000)


async def test_it_takes_nothing_from_a_purchase_that_is_paid(world: World):
    """An order may be moved to another stage after its payment; that is no refund."""
    [registration] = await world.ids(buy("INTRO", order="o-1"))
    await world.deliver("lms")
    assert await world.ids(order("INTRO", minute=5)) == [registration]
    assert await world.state(registration) == "active"
    assert await world.operations("lms") == []


async def test_it_does_not_bring_a_cancelled_purchase_back(world: World):
    """Only a payment does."""
    [registration] = await world.ids(order("INTRO"))
    await world.accept(cancel(business_key="o-1", minute=1))
    await world.accept(order("INTRO", minute=2))
    assert await world.state(registration) == "cancelled"
    await world.accept(paid(minute=3))
    assert await world.operations("lms") == ["grant"]
    assert await world.state(registration) == "active"


async def test_it_is_no_reason_to_take_what_another_purchase_gave(world: World):
    """The same course, bought before and not paid a second time."""
    [held] = await world.ids(buy("INTRO"))
    await world.deliver("lms")
    await world.accept(order("INTRO"))
    assert await world.wanted() == {"id:shop:ada": 1}
    assert await world.operations("lms") == []
    assert await world.state(held) == "active"


@pytest.mark.parametrize("meanwhile", [True, False], ids=["paid meanwhile", "not paid"])
async def test_one_that_waits_to_be_mapped_remembers_whether_it_was_paid(world: World, meanwhile: bool):
    """The order came first, its payment while it waited in quarantine; or there was none."""
    await world.accept(order("LATER"))
    if meanwhile:
        await world.accept(paid())
    usual = mapping()
    world.catalogue = mapping("second", products={**usual.products, ("shop", "LATER"): usual.products["shop", "INTRO"]})
    [row] = await world.ledger.write(lambda unit: quarantine.waiting(unit, (), None, "LATER"))
    released = await world.ledger.write(
        lambda unit: release(unit, row, SHOP, world.catalogue, world.now, dry_run=False)
    )
    assert released.became == "released"
    assert await world.operations("lms") == (["grant"] if meanwhile else [])
    assert await world.state(released.registration_id) == ("active" if meanwhile else "suspended")


async def test_another_sources_order_of_that_name_is_another_order(world: World):
    """Business keys belong to their source."""
    await world.accept(order("INTRO"))
    await world.accept(paid(), source=AMS)
    assert await world.wanted() == {"id:shop:ada": 0}


@pytest.mark.parametrize("word", [paid(minute=0), buy("INTRO", order="o-1", minute=0)], ids=["resumed", "bought"])
async def test_a_payment_of_the_same_moment_counts(world: World, word: EnrollmentCommand):
    """Many senders give an order's date, which does not change when it is paid."""
    [registration] = await world.ids(order("INTRO", minute=0))
    await world.accept(word)
    assert await world.operations("lms") == ["grant"]
    assert await world.state(registration) == "active"
