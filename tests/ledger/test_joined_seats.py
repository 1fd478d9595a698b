"""Seats of an order that two sources tell of, each with user ids and product names of its own."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bridge.contract.catalogue import ProductEntry
from bridge.contract.command import Action, EnrollmentCommand, Learner, Options, Order
from bridge.kit.clock import milliseconds
from tests.ledger.rig import ADA, BOB, PAY, SHOP, World, at, buy, cancel, mapping
from tests.ledger.test_merge import learner, merge, owners
from tests.ledger.test_merged_and_seats import OLGA, STRANGER
from tests.ledger.test_seats import EVE, JOE, claim, codes, revise, seats_of, several

STORE, TILL = replace(SHOP, joined=True), replace(PAY, joined=True, namespace="till")
MONTH = 30 * 24 * 60


@pytest.fixture(autouse=True)
def _joined(world: World) -> None:
    usual = mapping("two names")
    products = {key: entry for key, entry in usual.products.items() if key[0] != "pay"}
    products |= {("pay", "price_9"): ProductEntry(("intro",))}
    world.catalogue = replace(usual, sources={**usual.sources, "shop": STORE, "pay": TILL}, products=products)


async def claimed(world: World, **more) -> int:
    """Sell two, and let Eve claim the one that is a link; return her registration."""
    [line] = await world.ids(buy(several("INTRO", 2), order="o-1", **more), source=STORE)
    [code] = await codes(world, line)
    taken = await claim(world, code)
    assert taken.registration_id is not None
    return taken.registration_id


async def intents(world: World, intent: str) -> int:
    """Count the registrations of the order and its seats that are wanted to be so."""
    return await world.one(
        "SELECT count(*) FROM registration WHERE intent = :intent AND source IN ('shop', 'pay')"
        " AND business_key <> 'o-kim'",
        intent=intent,
    )


async def again(world: World) -> None:
    """The till takes the order back, and tells of it once more."""
    await world.accept(cancel(business_key="o-1", minute=3), source=TILL)
    assert await intents(world, "cancelled") == 2
    await world.accept(buy(several("price_9", 2), order="o-1", minute=9), source=TILL)


async def test_a_seat_given_again_by_the_other_source_is_its_holders(world: World):
    """Who claimed it is the same learner, and nobody else of the till's."""
    seat = await claimed(world)
    eve = await learner(world, EVE, "shop")
    await again(world)
    assert (await owners(world))[seat] == eve
    assert await intents(world, "live") == 2
    rows = await world.rows("SELECT namespace FROM learner WHERE email_key = 'eve@example.org'")
    assert [row.namespace for row in rows] == ["shop"]


async def test_a_merged_holders_seat_given_again_by_the_other_source_is_theirs(world: World):
    """Whoever has their user id at the till is a stranger, and keeps name and address."""
    seat = await claimed(world)
    await world.ids(buy("BOTH", who=OLGA), source=replace(SHOP, name="ams", namespace="members", business_scope="ams"))
    await merge(world, await learner(world, EVE, "shop"), olga := await learner(world, OLGA, "members"))
    await world.ids(buy("price_9", who=STRANGER, order="o-kim"), source=TILL)
    kim = await learner(world, STRANGER, "till")
    await again(world)
    assert (await owners(world))[seat] == olga
    assert await world.one("SELECT email FROM learner WHERE id = :id", id=kim) == "kim@example.org"


async def test_a_period_that_the_other_source_says_is_paid_takes_the_seats_along(world: World):
    """The till knows the product by another name; who has claimed is in for the new period all the same."""
    ids = {"order": Order(subscription_id="s")}
    first = buy(several("INTRO", 2), order="in_1", options=Options(expires_at=at(MONTH)))
    [line] = await world.ids(first.model_copy(update=ids), source=STORE)
    second = buy(several("INTRO", 2), order="in_2", minute=MONTH, options=Options(expires_at=at(2 * MONTH)))
    await world.ids(second.model_copy(update={**ids, "paid": False}), source=STORE)
    [code] = await codes(world, line)
    await claim(world, code)
    await world.accept(cancel(action=Action.RESUME, business_key="in_2", minute=MONTH + 5), source=TILL)
    ends = {
        row.person: row.ends
        for row in await world.rows(
            'SELECT w.person, max(t.expires_at) AS ends FROM "grant" t JOIN "right" w ON w.id = t.right_id'
            " WHERE t.live = 1 GROUP BY w.person"
        )
    }
    assert len(ends) == 2
    assert len(set(ends.values())) == 1, "both are in until the end of the second period"


SAME_ADA = ADA.model_copy(update={"remote_user_id": "till-7"})
EVERYBODY = {"id:shop:ada", "email:eve@example.org", "email:joe@example.org"}


def month(n: int, product: str, quantity: int = 3, who: Learner = SAME_ADA, **more) -> EnrollmentCommand:
    """One paid period of the subscription, as the shop or the till tells of it."""
    told = {"who": who, "order": f"in_{n}", "minute": MONTH * n, "options": Options(expires_at=at(MONTH * (n + 1)))}
    return buy(several(product, quantity), **{**told, **more}).model_copy(update={"order": Order(subscription_id="s")})


async def first_month(world: World) -> tuple[int, str]:
    """Sell three by the shop; Eve claims one of the two links. Return the registration and the other link's code."""
    [first] = await world.ids(month(0, "INTRO", who=ADA), source=STORE)
    one, two = await codes(world, first)
    await claim(world, one)
    return first, two


async def in_until(world: World, n: int) -> set[str]:
    """Return who is in until the end of that period."""
    return {
        row.person
        for row in await world.rows(
            'SELECT w.person FROM "grant" t JOIN "right" w ON w.id = t.right_id WHERE t.live = 1'
            " GROUP BY w.person HAVING max(t.expires_at) = :ends",
            ends=milliseconds(at(MONTH * (n + 1))),
        )
    }


@pytest.mark.parametrize("quantity", [3, 1], ids=["with the quantity", "which knows no quantities"])
async def test_the_next_period_that_only_the_other_source_tells_of_takes_the_seats_along(world: World, quantity: int):
    """And the ones after it, whichever of the two tells of them; who claims a link is in for the period that lasts."""
    first, two = await first_month(world)
    [second] = await world.ids(month(1, "price_9", quantity), source=TILL)
    assert second != first
    assert await seats_of(world, first) == [(1, "claimed", "")]
    assert await seats_of(world, second) == [(1, "claimed", ""), (2, "open", "")]
    assert (await claim(world, two, JOE)).became == "claimed"
    assert await in_until(world, 1) - {"id:till:till-7"} == EVERYBODY - {"id:shop:ada"}
    [third] = await world.ids(month(2, "price_9", quantity), source=TILL)
    assert await in_until(world, 2) - {"id:till:till-7"} == EVERYBODY - {"id:shop:ada"}
    [fourth] = await world.ids(month(3, "INTRO", 3, ADA), source=STORE)
    assert await seats_of(world, fourth) == [(1, "claimed", ""), (2, "claimed", "")]
    assert await in_until(world, 3) == EVERYBODY
    await revise(world, fourth, numbers=[1])
    assert (await world.wanted())["email:eve@example.org"] == 0, "taken back in every period"
    assert [line[1] for line in await seats_of(world, third)] == ["revoked", "claimed"]


async def test_what_both_tell_of_a_period_takes_the_seats_along_once(world: World):
    """The till is first, names no subscription and knows no quantity; each is repeated."""
    first, _ = await first_month(world)
    words = [(month(1, "price_9", 1).model_copy(update={"order": Order()}), TILL), (month(1, "INTRO", 3, ADA), STORE)]
    for command, source in (*words, *words):
        [second] = await world.ids(command, source=source)
    assert await seats_of(world, first) == [(1, "claimed", "")]
    assert await seats_of(world, second) == [(1, "claimed", ""), (2, "open", "")]
    assert "email:eve@example.org" in await in_until(world, 1)


async def test_a_smaller_quantity_that_the_other_source_tells_counts(world: World):
    """The lowest numbers go on."""
    first, two = await first_month(world)
    await claim(world, two, JOE)
    [second] = await world.ids(month(1, "price_9", 2), source=TILL)
    assert await seats_of(world, second) == [(1, "claimed", "")]
    assert len(await seats_of(world, first)) == 2


async def test_another_persons_subscription_of_that_number_is_another_one(world: World):
    """Each of the two may count its subscriptions from 1, and many people buy the same course."""
    first, _ = await first_month(world)
    [second] = await world.ids(month(1, "price_9", 3, who=BOB), source=TILL)
    assert await seats_of(world, first) == [(1, "claimed", ""), (2, "open", "")]
    assert await seats_of(world, second) == [(1, "open", ""), (2, "open", "")]
