"""Two sources of one shop: what either says of the other's order reaches it, also while a product is mapped at one of them only."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bridge.actions import Actions
from bridge.contract.catalogue import Catalogue, ProductEntry
from bridge.contract.command import Action, Item, Order
from bridge.kit.clock import SetClock, moment
from tests.ledger.rig import ADA, BOB, PAY, SHOP, World, buy, cancel, mapping, refund
from tests.ledger.test_half_mapped import intents, waiting

STORE, TILL = replace(SHOP, joined=True), replace(PAY, joined=True)
REFS = Order(refs=("ch_1",))


def joined(**prices: str) -> Catalogue:
    """Return the usual mapping, with the till's names for products that lead to one course each."""
    usual = mapping("+".join(sorted(prices)) or "none")
    sources = {**usual.sources, "shop": STORE, "pay": TILL}
    products = {("pay", price): ProductEntry((course,)) for price, course in prices.items()}
    return replace(usual, sources=sources, products={**usual.products, **products})


def now_mapped(world: World, source: str, product: str, course: str) -> None:
    """Let a product lead to a course from now on."""
    before = world.catalogue
    products = {**before.products, (source, product): ProductEntry((course,))}
    world.catalogue = replace(before, products=products, digest=f"{before.digest}+{product}")


async def released(world: World, *, dry_run: bool = False) -> list[str]:
    """Release everything; return what became of it."""
    acting = Actions(world.ledger, lambda: world.catalogue, SetClock(moment(world.now)))
    done = await acting.act("release", {"every": True, "dry_run": dry_run}, "ada")
    return [one["became"] for one in done]


async def wanted_courses(world: World) -> dict[str, int]:
    """Return which courses anybody is wanted to be in."""
    rows = await world.rows('SELECT course, wanted FROM "right" ORDER BY id')
    return {row.course: row.wanted for row in rows}


@pytest.fixture(autouse=True)
def _joined(world: World) -> None:
    world.catalogue = joined()


async def test_a_refund_that_names_what_the_till_calls_it_waits_until_that_is_mapped(world: World):
    """Which of the order's lines it means nobody knows before; then it takes that one back, and no other."""
    await world.ids(buy("INTRO", "ETHICS", order="o-1"), source=STORE)
    await world.accept(refund("price_9", business_key="o-1", minute=1), source=TILL)
    assert await intents(world) == {"INTRO": "live", "ETHICS": "live"}
    assert await waiting(world) == ["early"]
    assert await released(world) == ["waiting"]
    now_mapped(world, "pay", "price_9", "ethics")
    assert await released(world, dry_run=True) == ["released"]
    assert await intents(world) == {"INTRO": "live", "ETHICS": "live"}
    assert await released(world) == ["released"]
    assert await intents(world) == {"INTRO": "live", "ETHICS": "cancelled"}
    assert await waiting(world) == []
    assert await world.counts("parked_key") == {"parked_key": 0}


async def test_what_else_such_a_refund_names_is_taken_back_at_once(world: World):
    """The one line is mapped at the till, and the other is not."""
    world.catalogue = joined(price_1="intro")
    await world.ids(buy("INTRO", "ETHICS", order="o-1"), source=STORE)
    await world.accept(refund("price_1", "price_9", order=REFS, business_key="o-1", minute=1), source=TILL)
    assert await intents(world) == {"INTRO": "cancelled", "ETHICS": "live"}
    now_mapped(world, "pay", "price_9", "ethics")
    await released(world)
    assert await intents(world) == {"INTRO": "cancelled", "ETHICS": "cancelled"}


async def test_a_mapped_line_of_such_a_cancellation_is_kept_for_its_purchase(world: World):
    """The order has not told of that line yet; when it does, it is taken back already."""
    world.catalogue = joined(price_2="ethics")
    await world.ids(buy("INTRO", order="o-1"), source=STORE)
    await world.accept(cancel("price_2", "price_9", learner=ADA, business_key="o-1", minute=2), source=TILL)
    await world.accept(buy("INTRO", "ETHICS", order="o-1", minute=1), source=STORE)
    assert await wanted_courses(world) == {'{"course_id":1}': 1, '{"course_id":2}': 0}


async def test_an_early_refund_that_names_the_tills_product_is_not_used_up_by_the_purchase(world: World):
    """The shop tells of the order, and still nobody knows what the refund means."""
    await world.accept(refund("price_9", business_key="o-1", minute=2), source=TILL)
    await world.ids(buy("INTRO", order="o-1", minute=1), source=STORE)
    assert await waiting(world) == ["early"]
    now_mapped(world, "pay", "price_9", "intro")
    await world.accept(buy("INTRO", order="o-1", minute=1), source=STORE)
    assert await intents(world) == {"INTRO": "cancelled"}
    assert await waiting(world) == []


async def test_a_refund_of_what_the_till_told_of_too_takes_the_shops_line_back(world: World):
    """The till's own word on the order waits for the mapping, and the refund with it."""
    await world.ids(buy("INTRO", order="o-1"), source=STORE)
    await world.accept(buy("price_9", order="o-1"), source=TILL)
    await world.accept(refund("price_9", business_key="o-1", minute=1), source=TILL)
    now_mapped(world, "pay", "price_9", "intro")
    await released(world)
    assert await intents(world) == {"INTRO": "cancelled"}
    assert await waiting(world) == []


async def test_units_that_come_back_of_an_unnamed_line_come_back_once(world: World):
    """Three were bought and one came back, however often the event is read again."""
    await world.ids(buy(Item(remote_product_id="INTRO", quantity=3), order="o-1"), source=STORE)
    back = Item(remote_product_id="price_9", quantity=3, returned=1)
    reception = await world.accept(refund(back, full=False, business_key="o-1", minute=1), source=TILL)
    now_mapped(world, "pay", "price_9", "intro")
    await released(world)
    assert await world.one("SELECT quantity FROM registration") == 2
    acting = Actions(world.ledger, lambda: world.catalogue, SetClock(moment(world.now)))
    await acting.act("release", {"every": True}, "ada")
    assert await world.one("SELECT quantity FROM registration") == 2
    assert reception.kind == "accepted"


async def test_a_unit_that_comes_back_takes_no_whole_line_of_the_other_source(world: World):
    """One of three came back, and the till calls them otherwise than the shop."""
    world.catalogue = joined(price_9="intro")
    await world.ids(buy(Item(remote_product_id="INTRO", quantity=3), order="o-1"), source=STORE)
    back = Item(remote_product_id="price_9", quantity=3, returned=1)
    await world.accept(refund(back, full=False, business_key="o-1", minute=1), source=TILL)
    assert await intents(world) == {"INTRO": "live"}
    assert await world.one("SELECT quantity FROM registration") == 2


HALF = [{"business_key": "o-1"}, {"order": REFS}]


@pytest.mark.parametrize("named", HALF, ids=["by key", "by a charge"])
async def test_a_refund_of_a_half_mapped_order_reaches_the_waiting_line(world: World, named: dict):
    """The shop tells of the purchase again once the product is mapped: an older word than the refund."""
    await world.ids(buy("INTRO", "NEW", order="o-1").model_copy(update={"order": REFS}), source=STORE)
    await world.accept(refund(minute=5, **named), source=TILL)
    now_mapped(world, "shop", "NEW", "ethics")
    await world.accept(buy("NEW", order="o-1", minute=2), source=STORE)
    assert await intents(world) == {"INTRO": "cancelled", "NEW": "cancelled"}
    assert set((await wanted_courses(world)).values()) <= {0}
    await world.accept(buy("NEW", order="o-1", minute=6), source=STORE)
    assert (await intents(world))["NEW"] == "live", "a newer word is a purchase again"


async def test_a_refund_that_failed_lets_the_waiting_line_in(world: World):
    """Who has paid gets in, once the product is mapped."""
    await world.ids(buy("INTRO", "NEW", order="o-1").model_copy(update={"order": REFS}), source=STORE)
    await world.accept(refund(order=REFS, minute=1), source=TILL)
    await world.accept(cancel(action=Action.RESUME, undoes="refunds", order=REFS, minute=2), source=TILL)
    now_mapped(world, "shop", "NEW", "ethics")
    await released(world)
    assert await intents(world) == {"INTRO": "live", "NEW": "live"}
    assert await wanted_courses(world) == {'{"course_id":1}': 1, '{"course_id":2}': 1}


async def test_a_refunded_line_gives_nothing_when_it_is_released(world: World):
    """Neither at an LMS nor to anybody's mailbox."""
    await world.accept(buy("NEW", order="o-1", who=BOB), source=STORE)
    await world.accept(refund(business_key="o-1", learner=BOB, minute=1), source=TILL)
    now_mapped(world, "shop", "NEW", "ethics")
    await released(world)
    assert await intents(world) == {"NEW": "cancelled"}
    assert await world.operations("lms") == []
    assert await waiting(world) == []
