"""Refunds, disputes and cancellations that come before their purchase, or that name it by other ids than it did."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bridge.actions import Actions
from bridge.actions.asked import ReleaseLines
from bridge.contract.command import Action, Order
from bridge.kit.clock import SystemClock
from tests.ledger.rig import ADA, BOB, PAY, SHOP, World, buy, cancel, line, mapping, refund


async def _waiting(world: World) -> list[str]:
    rows = await world.rows("SELECT kind FROM quarantine WHERE state = 'waiting' ORDER BY id")
    return [row.kind for row in rows]


@pytest.mark.parametrize(
    "carries",
    [
        {"business_key": "o-1"},
        {"order": Order(number="4711")},
        {"order": Order(transaction_id="pi_1")},
        {"order": Order(refs=("ch_1",))},
        {"order": Order(refs=("unknown", "in_1"))},
        {"order": Order(transaction_id="ch_1")},
        {"order": Order(refs=("pi_1",))},
    ],
    ids=str,
)
@pytest.mark.parametrize("early", [False, True], ids=["after", "before"])
async def test_a_refund_finds_its_purchase_by_any_of_its_ids(world: World, carries, early):
    """Whichever came first; it carries neither a learner nor a product."""
    bought = buy("INTRO", order="o-1", minute=1).model_copy(
        update={"order": Order(number="4711", transaction_id="pi_1", refs=("ch_1", "in_1"))}
    )
    taken = refund(minute=2, **carries)
    if early:
        assert (await world.accept(taken)).kind == "accepted"
        assert await _waiting(world) == ["early"]
        [registration] = await world.ids(bought)
    else:
        [registration] = await world.ids(bought)
        await world.accept(taken)
    assert await world.state(registration) == "cancelled"
    assert await world.wanted() == {"id:shop:ada": 0}
    assert await _waiting(world) == []
    assert await world.counts("parked_key") == {"parked_key": 0}


async def test_the_story_of_an_early_refund_is_told_by_its_own_event(world: World):
    """The refund's event had its effect, not the purchase's once more."""
    await world.accept(refund(order=Order(transaction_id="pi_1"), minute=2))
    await world.ids(buy("INTRO", order="o-1", minute=1).model_copy(update={"order": Order(transaction_id="pi_1")}))
    rows = await world.rows("SELECT event_id, effect FROM effect ORDER BY event_id")
    assert [(row.event_id, row.effect) for row in rows] == [(1, "refunded"), (2, "created")]
    assert await world.one("SELECT state FROM quarantine") == "released"


async def test_what_happened_before_a_purchase_did_not_happen_to_it(world: World):
    """The same order number bought again is a purchase of its own; the old refund goes on waiting for the old one."""
    await world.accept(refund(order=Order(number="4711"), minute=1))
    [later] = await world.ids(buy("INTRO", minute=5).model_copy(update={"order": Order(number="4711")}))
    assert await world.state(later) == "pending"
    assert await _waiting(world) == ["early"]


async def test_a_dispute_that_was_won_before_its_purchase_came_leaves_the_person_in(world: World):
    """Opened and won wait both, and are applied in the order in which they happened."""
    ids = Order(refs=("ch_1",))
    await world.accept(cancel(action=Action.RESUME, order=ids, minute=3))
    await world.accept(cancel(action=Action.SUSPEND, order=ids, minute=2))
    [registration] = await world.ids(buy("INTRO", order="o-1", minute=1).model_copy(update={"order": ids}))
    assert await world.state(registration) == "pending"
    assert await world.wanted() == {"id:shop:ada": 1}
    assert await _waiting(world) == []


async def test_a_refund_that_came_twice_too_early_is_applied_once(world: World):
    """Two events of one refund."""
    for _ in range(2):
        await world.accept(refund(order=Order(refs=("ch_1",)), minute=2))
    [registration] = await world.ids(
        buy("INTRO", order="o-1", minute=1).model_copy(update={"order": Order(refs=("ch_1",))})
    )
    assert await world.state(registration) == "cancelled"
    assert await _waiting(world) == []


async def test_a_refund_in_the_same_group_as_its_purchase(world: World):
    """However the group is ordered."""
    ids = Order(refs=("ch_1",))
    await world.together(
        refund(order=ids, minute=2),
        buy("INTRO", order="o-1", minute=1).model_copy(update={"order": ids}),
        buy("ETHICS", who=BOB),
    )
    assert await world.wanted() == {"id:shop:ada": 0, "id:shop:bob": 1}


async def test_a_refund_of_a_purchase_that_waits_for_its_mapping_waits_with_it(world: World):
    """Released after the refund, the purchase enrolls nobody."""
    ids = Order(refs=("ch_1",))
    await world.accept(buy("NEW", order="o-1", minute=1).model_copy(update={"order": ids}))
    await world.accept(refund(order=ids, minute=2))
    assert await _waiting(world) == ["unmapped", "early"]

    usual = mapping()
    world.catalogue = mapping("second", products={**usual.products, ("shop", "NEW"): usual.products["shop", "INTRO"]})
    await Actions(world.ledger, lambda: world.catalogue, SystemClock()).do("release", ReleaseLines(every=True), "ada")
    assert await _waiting(world) == []
    assert await world.wanted() == {"id:shop:ada": 0}


async def test_a_pending_refund_waits_for_nothing(world: World):
    """It has no effect, whether or not its purchase is known."""
    await world.accept(refund(order=Order(refs=("ch_1",)), pending=True))
    assert await _waiting(world) == []


async def test_a_line_that_is_not_there_does_not_wait_where_its_order_is(world: World):
    """What the shop sells beside courses was refunded."""
    await world.accept(buy(line("INTRO", "1"), order="o-1", minute=1))
    await world.accept(refund(line("MUG", "2"), full=False, business_key="o-1", minute=2))
    assert await _waiting(world) == []
    assert await world.wanted() == {"id:shop:ada": 1}


async def test_a_subscription_that_ends_ends_all_its_periods(world: World):
    """And the refund of one payment that nobody knows ends none of them."""
    for period in (1, 2):
        await world.ids(
            buy("INTRO", order=f"in_{period}", minute=period).model_copy(
                update={"order": Order(subscription_id="sub_1")}
            )
        )
    await world.accept(refund(order=Order(transaction_id="ch_unknown", subscription_id="sub_1"), minute=3))
    assert await world.wanted() == {"id:shop:ada": 1}
    await world.accept(cancel(order=Order(subscription_id="sub_1"), minute=4))
    assert await world.wanted() == {"id:shop:ada": 0}


async def test_a_refunded_period_leaves_the_others(world: World):
    """Periods are purchases of their own."""
    for period in (1, 2):
        ids = Order(subscription_id="sub_1", refs=(f"ch_{period}",))
        await world.ids(buy("INTRO", order=f"in_{period}", minute=period).model_copy(update={"order": ids}))
    await world.accept(refund(order=Order(refs=("ch_2",)), minute=3))
    assert await world.wanted() == {"id:shop:ada": 1}
    await world.accept(refund(order=Order(refs=("ch_1",)), minute=4))
    assert await world.wanted() == {"id:shop:ada": 0}


async def test_another_event_of_the_purchase_brings_more_ids(world: World):
    """The second tells of the charge; the refund knows only that."""
    [registration] = await world.ids(buy("INTRO", order="o-1", minute=1))
    again = buy("INTRO", order="o-1", minute=1).model_copy(update={"order": Order(refs=("ch_1",))})
    assert await world.ids(again) == [registration]
    await world.accept(refund(order=Order(refs=("ch_1",)), minute=2))
    assert await world.state(registration) == "cancelled"


async def test_two_sources_that_report_the_same_orders_make_one_registration(world: World):
    """Though they call the product, and its line, by other names."""

    usual = mapping()
    world.catalogue = mapping(
        "joined", products={**usual.products, ("pay", "price_9"): usual.products["shop", "INTRO"]}
    )
    shop, pay = replace(SHOP, joined=True), replace(PAY, joined=True)
    [first] = await world.ids(buy(line("INTRO", "row-1"), order="4711", minute=1), source=shop)
    [second] = await world.ids(buy("price_9", who=ADA, order="4711", minute=2), source=pay)
    assert first == second
    await world.accept(refund("price_9", full=False, business_key="4711", minute=3), source=pay)
    assert await world.state(first) == "cancelled"


async def test_another_event_of_the_purchase_tells_of_its_subscription(world: World):
    """The first knew only of the payment; the end of the subscription ends the purchase all the same."""
    [registration] = await world.ids(buy("INTRO", order="o-1", minute=1))
    again = buy("INTRO", order="o-1", minute=1).model_copy(
        update={"order": Order(number="4711", transaction_id="tx-1", subscription_id="sub_1")}
    )
    assert await world.ids(again) == [registration]
    other = buy("INTRO", order="o-1", minute=1).model_copy(update={"order": Order(subscription_id="sub_2")})
    assert await world.ids(other) == [registration]
    rows = await world.rows("SELECT order_number, transaction_id, subscription_id FROM registration")
    assert [tuple(row) for row in rows] == [("4711", "tx-1", "sub_1")]
    await world.accept(cancel(order=Order(subscription_id="sub_1"), minute=4))
    assert await world.state(registration) == "cancelled"


async def test_a_subscription_that_goes_on_brings_no_refunded_period_back(world: World):
    """It lifts what it suspended, and nothing else."""
    first, second = [
        (
            await world.ids(
                buy("INTRO" if period == 1 else "ETHICS", order=f"in_{period}", minute=period).model_copy(
                    update={"order": Order(subscription_id="sub_1")}
                )
            )
        )[0]
        for period in (1, 2)
    ]
    await world.accept(refund(business_key="in_1", minute=3))
    await world.accept(cancel(action=Action.SUSPEND, order=Order(subscription_id="sub_1"), minute=4))
    assert await world.state(second) == "suspended"
    await world.accept(cancel(action=Action.RESUME, order=Order(subscription_id="sub_1"), minute=5))
    assert await world.state(first) == "cancelled"
    assert await world.state(second) == "pending"


async def test_an_early_refund_reaches_every_part_of_a_purchase_told_in_several_commands(world: World):
    """One invoice with lines that end on different days, say."""
    await world.accept(refund(business_key="in_1", minute=3))
    ids = await world.ids(buy("INTRO", order="in_1", minute=1), buy("ETHICS", order="in_1", minute=1))
    assert [await world.state(registration) for registration in ids] == ["cancelled", "cancelled"]
    assert await _waiting(world) == []


async def test_a_subscription_that_begins_again_brings_back_what_its_end_took(world: World):
    """But not the period that was refunded before, nor one refunded since."""
    ids = [
        (
            await world.ids(
                buy("INTRO", order=f"in_{n}", minute=n).model_copy(update={"order": Order(subscription_id="s")})
            )
        )[0]
        for n in (1, 2, 3)
    ]
    await world.accept(refund(business_key="in_1", minute=4))
    await world.accept(cancel(order=Order(subscription_id="s"), minute=5))
    assert [await world.state(i) for i in ids] == ["cancelled"] * 3
    await world.accept(refund(business_key="in_2", minute=6))
    await world.accept(cancel(action=Action.RESUME, order=Order(subscription_id="s"), minute=7))
    assert [await world.state(i) for i in ids] == ["cancelled", "cancelled", "pending"]


@pytest.mark.parametrize(
    ("taken", "undoes", "becomes"),
    [
        (refund, "holds", "cancelled"),  # a dispute that was closed because the money was returned
        (refund, "refunds", "suspended"),  # the dispute goes on
        (refund, "all", "pending"),
        (cancel, "holds", "pending"),
        (cancel, "refunds", "cancelled"),
    ],
)
async def test_a_resumption_undoes_what_it_is_meant_to(world: World, taken, undoes, becomes):
    """Not every good word about a dispute gives access back."""
    [registration] = await world.ids(buy("INTRO", order="o-1", minute=1))
    await world.accept(cancel(action=Action.SUSPEND, business_key="o-1", minute=2))
    await world.accept(taken(business_key="o-1", minute=3))
    await world.accept(cancel(action=Action.RESUME, business_key="o-1", minute=4, undoes=undoes))
    assert await world.state(registration) == becomes


async def test_a_refund_that_failed_lifts_no_suspension(world: World):
    """The dispute goes on."""
    [registration] = await world.ids(buy("INTRO", order="o-1", minute=1))
    await world.accept(cancel(action=Action.SUSPEND, business_key="o-1", minute=2))
    await world.accept(cancel(action=Action.RESUME, business_key="o-1", minute=3, undoes="refunds"))
    assert await world.state(registration) == "suspended"


async def test_joined_sources_keep_an_early_cancellation_and_an_early_refund(world: World):
    """Though the purchase will call its product and its line by other names."""
    usual = mapping()
    world.catalogue = mapping(
        "joined", products={**usual.products, ("pay", "price_9"): usual.products["shop", "INTRO"]}
    )
    shop, pay = replace(SHOP, joined=True), replace(PAY, joined=True)
    await world.accept(refund("price_9", full=False, business_key="4711", minute=3), source=pay)
    [refunded] = await world.ids(buy(line("INTRO", "row-1"), order="4711", minute=1), source=shop)
    assert await world.state(refunded) == "cancelled"
    await world.accept(cancel("INTRO", business_key="4712", learner=BOB, minute=3), source=shop)
    [cancelled] = await world.ids(buy("price_9", who=BOB, order="4712", minute=1), source=pay)
    assert await world.state(cancelled) == "cancelled"


async def test_an_early_refund_of_a_line_that_nobody_mapped_finds_it_at_joined_sources(world: World):
    """There a line is known by what it opens, and that is known only with the mapping: until then the refund waits."""
    known, joined = mapping(), replace(SHOP, joined=True)
    world.catalogue = replace(known, products={key: to for key, to in known.products.items() if key[1] != "INTRO"})
    await world.accept(refund("INTRO", learner=ADA, business_key="o-1", minute=2), source=joined)
    assert await _waiting(world) == ["early"]
    world.catalogue = known
    [registration] = await world.ids(buy("INTRO", order="o-1", minute=1), source=joined)
    assert await world.state(registration) == "cancelled"
    assert await world.wanted() == {"id:shop:ada": 0}
