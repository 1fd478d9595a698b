"""One line of an order is mapped and one waits in quarantine: what becomes of the order reaches both."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bridge.actions import Actions
from bridge.contract.catalogue import ProductEntry
from bridge.contract.command import Action, EnrollmentCommand, Item, Options, Order
from bridge.kit.clock import SetClock, moment
from bridge.ledger.reports import Filter, registrations
from bridge.ledger.story import story
from tests.ledger.rig import ADA, World, at, buy, cancel, mapping, refund
from tests.ledger.test_later import DAY, effects, pass_to

REFS = Order(refs=("ch_1",))


async def half(world: World, order: Order | None = None) -> int:
    """Sell INTRO, which is mapped, and NEW, which is not; return the registration of the one."""
    bought = buy("INTRO", "NEW", order="o-1", minute=0)
    [registration] = await world.ids(bought.model_copy(update={"order": order or REFS}))
    return registration


def now_mapped(world: World) -> None:
    """Let NEW lead to the ethics course from now on."""
    usual = mapping("later")
    mapped = {(name, "NEW"): ProductEntry(("ethics",)) for name in usual.sources}
    world.catalogue = replace(usual, products={**usual.products, **mapped})


async def released(world: World) -> list[str]:
    """Map NEW, and release everything."""
    now_mapped(world)
    acting = Actions(world.ledger, lambda: world.catalogue, SetClock(moment(world.now)))
    return [one["became"] for one in await acting.act("release", {"every": True}, "ada")]


async def intents(world: World) -> dict[str, str]:
    rows = await world.rows("SELECT remote_product_id, intent FROM registration ORDER BY id")
    return {row.remote_product_id: row.intent for row in rows}


async def waiting(world: World) -> list[str]:
    return [row.kind for row in await world.rows("SELECT kind FROM quarantine WHERE state = 'waiting' ORDER BY id")]


NAMED = [{"business_key": "o-1"}, {"order": REFS}]


@pytest.mark.parametrize("named", NAMED, ids=["by key", "by a charge"])
async def test_a_suspension_reaches_the_waiting_line(world: World, named: dict):
    """Released while the order is suspended it gives nothing; the resumption gives both."""
    await half(world)
    await world.accept(cancel(action=Action.SUSPEND, minute=1, **named))
    assert "released" in await released(world)
    assert await intents(world) == {"INTRO": "suspended", "NEW": "suspended"}
    assert await waiting(world) == []
    await world.accept(cancel(action=Action.RESUME, minute=2, **named))
    assert await intents(world) == {"INTRO": "live", "NEW": "live"}
    assert await world.counts("parked_key") == {"parked_key": 0}


async def test_a_suspension_that_ended_before_the_release_leaves_the_line_alive(world: World):
    """Both wait beside it, and are applied in the order in which they happened; the story of the mapped line stays."""
    registration = await half(world)
    await world.accept(cancel(action=Action.SUSPEND, business_key="o-1", minute=1))
    await world.accept(cancel(action=Action.RESUME, business_key="o-1", minute=2))
    await released(world)
    assert await intents(world) == {"INTRO": "live", "NEW": "live"}
    assert await effects(world, registration) == ["created", "suspended", "resumed"]
    assert await waiting(world) == []


async def test_a_suspension_of_the_mapped_line_alone_leaves_the_other(world: World):
    """It names what it means."""
    await half(world)
    await world.accept(cancel("INTRO", action=Action.SUSPEND, business_key="o-1", minute=1))
    await released(world)
    assert await intents(world) == {"INTRO": "suspended", "NEW": "live"}


async def test_each_of_several_waiting_lines_is_reached(world: World):
    """The one that is released first takes nothing from the other."""
    [_] = await world.ids(buy("INTRO", "NEW", "NEWER", order="o-1"))
    await world.accept(cancel(action=Action.SUSPEND, business_key="o-1", minute=1))
    await released(world)
    assert await waiting(world) == ["unmapped", "early"]
    world.catalogue = mapping("more", products=dict.fromkeys([("shop", "NEWER")], ProductEntry(("web",))))
    acting = Actions(world.ledger, lambda: world.catalogue, SetClock(moment(world.now)))
    await acting.act("release", {"every": True}, "ada")
    assert set((await intents(world)).values()) == {"suspended"}
    assert await waiting(world) == []


async def test_the_purchase_told_again_finds_what_waited_for_its_line(world: World):
    """The product is mapped by now, and nobody has released the line."""
    await half(world)
    await world.accept(cancel(action=Action.SUSPEND, business_key="o-1", minute=1))
    now_mapped(world)
    await world.accept(buy("INTRO", "NEW", order="o-1", minute=0))
    assert await intents(world) == {"INTRO": "suspended", "NEW": "suspended"}


@pytest.mark.parametrize("named", NAMED, ids=["by key", "by a charge"])
async def test_a_refund_takes_the_waiting_line_along(world: World, named: dict):
    """Also where it names the charge alone."""
    await half(world)
    await world.accept(refund(minute=1, **named))
    assert await waiting(world) == []
    assert await released(world) == []
    assert set((await world.wanted()).values()) == {0}


@pytest.mark.parametrize("known", [True, False], ids=["half mapped", "not mapped at all"])
async def test_a_line_taken_back_in_quarantine_is_not_given_by_an_older_event(world: World, known: bool):
    """The product is mapped by now, and the sender tells of the purchase once more: by its time it is the older word."""
    await world.accept(buy(*(["INTRO"] if known else []), "NEW", order="o-1", minute=0))
    await world.accept(cancel(business_key="o-1", minute=5))
    now_mapped(world)
    await world.accept(buy("NEW", order="o-1", minute=2))
    assert set((await world.wanted()).values()) <= {0}
    assert (await intents(world))["NEW"] == "cancelled"
    await world.accept(buy("NEW", order="o-1", minute=6))
    assert (await intents(world))["NEW"] == "live", "a newer word is a purchase again"
    assert 1 in (await world.wanted()).values()


async def test_a_line_taken_back_in_quarantine_may_live_again(world: World):
    """The refund failed: the line waits for its mapping once more, and gives access when it is released."""
    await half(world)
    await world.accept(refund(business_key="o-1", minute=1))
    await world.accept(cancel(action=Action.RESUME, undoes="refunds", business_key="o-1", minute=2))
    assert await waiting(world) == ["unmapped"]
    await released(world)
    assert await intents(world) == {"INTRO": "live", "NEW": "live"}
    rows = await world.rows('SELECT course, wanted FROM "right" ORDER BY id')
    assert [tuple(row) for row in rows] == [('{"course_id":1}', 1), ('{"course_id":2}', 1)]


async def test_a_cancellation_at_the_end_of_the_period_leaves_the_waiting_line_its_period(world: World):
    """Whoever releases it before then lets the learner in until then."""
    ends = Options(expires_at=at(20 * DAY))
    bought = buy("INTRO", "NEW", order="o-1", options=ends)
    await world.ids(bought.model_copy(update={"order": Order(subscription_id="s")}))
    await world.accept(cancel(order=Order(subscription_id="s"), at_period_end=True, minute=1))
    await released(world)
    assert await intents(world) == {"INTRO": "live", "NEW": "live"}
    await pass_to(world, 20 * DAY)
    assert await intents(world) == {"INTRO": "cancelled", "NEW": "cancelled"}


async def test_units_that_come_back_of_a_waiting_line_wait_with_it(world: World):
    """How many stay is told when it is released: one of three came back."""
    three: EnrollmentCommand = buy("INTRO", Item(remote_product_id="NEW", quantity=3), order="o-1")
    await world.ids(three)
    back = Item(remote_product_id="NEW", quantity=3, returned=1)
    await world.accept(refund(back, full=False, business_key="o-1", minute=1))
    await released(world)
    assert await intents(world) == {"INTRO": "live", "NEW": "live"}
    assert await world.one("SELECT quantity FROM registration WHERE remote_product_id = 'NEW'") == 2


async def test_a_purchase_that_was_never_mapped_says_so(world: World):
    """In the list and in its story; one that is mapped, or whose purchase never came, does not."""

    async def marked() -> dict[str, bool]:
        rows = await world.ledger.read(lambda connection: registrations(connection, Filter()))
        for row in rows:
            told = await world.ledger.read(lambda connection, row=row: story(connection, str(row["registration_id"])))
            assert told["purchases"][0]["never_mapped"] is row["never_mapped"]
        return {row["remote_product_id"]: row["never_mapped"] for row in rows}

    await half(world)
    await world.accept(cancel("WEB", learner=ADA, business_key="o-9", minute=1))
    await world.accept(cancel(business_key="o-1", minute=5))
    assert await marked() == {"INTRO": False, "WEB": False, "NEW": True}
    now_mapped(world)
    await world.accept(buy("NEW", order="o-1", minute=6))
    assert (await marked())["NEW"] is False


@pytest.mark.parametrize("between", ["nothing", "a copy of the order", "a second time"])
async def test_a_line_that_was_taken_back_and_is_wanted_again_waits_again(world: World, between: str):
    """Suspended or not, and however often: released it is what the order is by then, and comes with it."""
    await half(world)
    await world.accept(cancel(business_key="o-1", minute=1))
    assert await waiting(world) == []
    if between == "a copy of the order":
        await half(world)
    if between == "a second time":
        await world.accept(cancel(action=Action.RESUME, business_key="o-1", minute=2))
        await world.accept(cancel(business_key="o-1", minute=3))
    await world.accept(cancel(action=Action.RESUME, business_key="o-1", minute=4))
    assert (await waiting(world))[0] == "unmapped"
    await world.accept(cancel(action=Action.SUSPEND, business_key="o-1", minute=5))
    assert (await waiting(world))[0] == "unmapped"
    assert (await released(world))[0] == "released"
    assert await intents(world) == {"INTRO": "suspended", "NEW": "suspended"}
    await world.accept(cancel(action=Action.RESUME, business_key="o-1", minute=6))
    assert await intents(world) == {"INTRO": "live", "NEW": "live"}
    assert (await world.wanted())["id:shop:ada"] == 1
    assert len(await world.rows('SELECT id FROM "right" WHERE wanted = 1')) == 2


@pytest.mark.parametrize("times", [1, 2])
async def test_a_refund_that_names_a_waiting_line_and_its_buyer_is_undone_when_it_fails(world: World, times: int):
    """What keeps that the line was taken back knows the line, by whichever road it came to be."""
    await half(world)
    for n in range(times):
        told = refund("NEW", full=False, learner=ADA, business_key="o-1", minute=2 * n + 1)
        await world.accept(told)
        assert await waiting(world) == []
        await world.accept(cancel("NEW", action=Action.RESUME, undoes="refunds", business_key="o-1", minute=2 * n + 2))
        assert await waiting(world) == ["unmapped"]
    assert await released(world) == ["released"]
    assert await intents(world) == {"INTRO": "live", "NEW": "live"}
