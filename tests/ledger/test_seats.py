"""Several bought: the first learner is in, the others are links, and all of them follow what becomes of the order."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bridge.actions import ActionRefused, Actions
from bridge.contract.catalogue import Catalogue, MailerEntry, ProductEntry
from bridge.contract.command import Action, Item, Learner, Options, Order
from bridge.intake import due
from bridge.intake.claim import Claim, Seat, claim_group
from bridge.kit.clock import SetClock, milliseconds, moment
from bridge.ledger import seats as kept
from tests.ledger.rig import ADA, BOB, PAY, SHOP, World, at, buy, cancel, mapping, refund, request, update

EVE = Learner(email="eve@example.org", first_name="Eve", last_name="Ning")
JOE = Learner(email="joe@example.org", first_name="Joe", last_name="Doe")


def several(product: str, quantity: int, **more: Any) -> Item:
    return Item(remote_product_id=product, quantity=quantity, **more)


def selling(seats: str, product: str = "INTRO", courses: tuple[str, ...] = ("intro",), **changed: Any) -> Catalogue:
    """Return the usual mapping with a product whose seats are given in another way."""
    usual = mapping(**changed)
    entries = {(source, product): ProductEntry(courses, seats=seats) for source in usual.sources}
    return replace(usual, products={**usual.products, **entries}, digest=seats)


async def seats_of(world: World, registration: int) -> list[tuple[int, str, str]]:
    rows = await world.rows("SELECT * FROM seat WHERE registration_id = :id ORDER BY number", id=registration)
    return [(row.number, row.state, row.why) for row in rows]


async def codes(world: World, registration: int, state: str = "open") -> list[str]:
    rows = await world.rows(
        "SELECT code FROM seat WHERE registration_id = :id AND state = :state ORDER BY number",
        id=registration,
        state=state,
    )
    return [row.code for row in rows]


async def claim(world: World, code: str, who: Learner = EVE) -> Seat:
    return await world.ledger.submit(claim_group, Claim(code, who, world.catalogue, world.now))


async def bought(world: World, quantity: int = 3, product: str = "INTRO", **more: Any) -> int:
    (registration,) = await world.ids(buy(several(product, quantity), **more))
    return registration


def actions(world: World) -> Actions:
    return Actions(world.ledger, lambda: world.catalogue, SetClock(moment(world.now)))


async def revise(world: World, registration: int, **how: Any) -> list[dict[str, Any]]:
    return await actions(world).act("seats", {"registration_id": registration, **how}, "ops")


EVERYWHERE = "email:eve@example.org"


async def test_of_three_the_learner_has_one_and_two_are_links(world: World):
    """Nobody who paid is kept out; codes are long and differ."""
    registration = await bought(world)
    assert await world.wanted() == {"id:shop:ada": 1}
    assert await seats_of(world, registration) == [(1, "open", ""), (2, "open", "")]
    found = await codes(world, registration)
    assert len(set(found)) == 2
    assert all(len(code) >= 22 for code in found)


@pytest.mark.parametrize(("seats", "quantity"), [("first", 1), ("none", 5)])
async def test_one_or_no_people_make_no_seats(world: World, seats: str, quantity: int):
    """A quantity of months is no number of learners."""
    world.catalogue = selling(seats)
    registration = await bought(world, quantity)
    assert await seats_of(world, registration) == []
    assert await world.wanted() == {"id:shop:ada": 1}


@pytest.mark.parametrize("quantity", [1, 3])
async def test_where_all_are_links_the_learner_claims_one_too(world: World, quantity: int):
    """The named learner is not in before, no CRM hears of it, and the order line waits for nothing."""
    world.catalogue = selling("links")
    registration = await bought(world, quantity)
    assert len(await seats_of(world, registration)) == quantity
    assert await world.wanted() == {}
    assert await world.state(registration) == "active"
    claimed = await claim(world, (await codes(world, registration))[0], Learner(email="ada@example.org"))
    assert claimed.became == "claimed"
    assert await world.operations("lms") == ["grant"]


async def test_a_claim_is_a_grant_of_its_own(world: World):
    """It has an event that holds no code, a registration, a right, and is delivered like any purchase."""
    registration = await bought(world)
    code = (await codes(world, registration))[0]
    claimed = await claim(world, code)
    assert (claimed.became, claimed.titles, claimed.product_url) == (
        "claimed",
        ("Introduction",),
        "https://x.example/intro",
    )
    assert await world.wanted() == {"id:shop:ada": 1, EVERYWHERE: 1}
    (event,) = await world.rows("SELECT * FROM event WHERE id = :id", id=claimed.event_id)
    assert (event.source, event.adapter, event.state) == ("shop", "claim", "accepted")
    assert code not in "".join(str(value) for value in event)
    assert "eve%40example.org" in event.body
    await world.operations("lms")
    assert await world.state(claimed.registration_id) == "active"
    assert await seats_of(world, registration) == [(1, "claimed", ""), (2, "open", "")]


async def test_claimed_again_by_the_same_person_is_the_same(world: World):
    """Nothing is written twice, however the address is spelt; another person is told that it is used."""
    registration = await bought(world)
    code = (await codes(world, registration))[0]
    await claim(world, code)
    before = await world.counts("event", "registration", "grant", "right", "delivery")
    assert (await claim(world, code, Learner(email="Eve@EXAMPLE.org"))).became == "claimed"
    assert (await claim(world, code, JOE)).became == "used"
    assert await world.counts(*before) == before


async def test_of_two_at_one_moment_one_wins(world: World):
    """In one group: the one who comes first is in, the other is told."""
    registration = await bought(world)
    code = (await codes(world, registration))[0]
    found = await asyncio.gather(claim(world, code, EVE), claim(world, code, JOE), claim(world, code, EVE))
    assert [one.became for one in found] == ["claimed", "used", "claimed"]
    assert len(await world.wanted()) == 2


async def test_of_two_machines_one_wins(pair: tuple[World, World]):
    """The row is held, so that both can't see it open; nobody is told something false."""
    one, other = pair
    for minute in range(5):
        registration = await bought(one, 3, order=f"o{minute}", minute=minute)
        code = (await codes(one, registration))[0]
        who = [Learner(email=f"{name}{minute}@example.org") for name in ("eve", "joe")]
        found = await asyncio.gather(claim(one, code, who[0]), claim(other, code, who[1]))
        assert sorted(seat.became for seat in found) == ["claimed", "used"]
        assert await one.one("SELECT count(*) FROM registration WHERE business_key LIKE 'seat:%'") == minute + 1


async def test_two_seats_of_one_order_are_not_for_one_person(pair: tuple[World, World]):
    """Whoever claims a second one, also at the same moment elsewhere, is told so, and the seat stays open."""
    one, other = pair
    registration = await bought(one, 4)
    first, second, third = await codes(one, registration)
    found = await asyncio.gather(claim(one, first), claim(other, second))
    assert sorted(seat.became for seat in found) == ["another", "claimed"]
    assert (await claim(one, third, Learner(email="ADA@example.org"))).became == "another"
    assert len(await codes(one, registration)) == 2


async def test_a_cancel_and_a_claim_at_one_moment_leave_nobody_in(pair: tuple[World, World]):
    """Either the claim is too late, or it is taken back with the order."""
    one, other = pair
    for minute in range(5):
        registration = await bought(one, 2, order=f"o{minute}", minute=minute)
        (code,) = await codes(one, registration)
        who = Learner(email=f"eve{minute}@example.org")
        await asyncio.gather(
            claim(one, code, who), other.accept(cancel(business_key=f"o{minute}", minute=minute + 0.5))
        )
        rows = await one.rows(
            'SELECT person, wanted FROM "right" WHERE person = :p', p=f"email:eve{minute}@example.org"
        )
        assert [row.wanted for row in rows] in ([], [0])


@pytest.mark.parametrize("known", [{"order": "o1"}, {}], ids=["with a business key", "without one"])
async def test_a_claimed_seat_follows_its_order(world: World, known: dict[str, str]):
    """Suspended, resumed, refunded, and back when the refund fails; an open link with it."""
    registration = await bought(world, 3, **known)
    named = {"business_key": "o1"} if known else {"learner": ADA}
    first, second = await codes(world, registration)
    claimed = await claim(world, first)
    await world.accept(cancel("INTRO", action=Action.SUSPEND, minute=1, **named))
    assert await world.wanted() == {"id:shop:ada": 0, EVERYWHERE: 0}
    assert (await claim(world, second, JOE)).became == "held"
    await world.accept(cancel("INTRO", action=Action.RESUME, minute=2, **named))
    assert await world.wanted() == {"id:shop:ada": 1, EVERYWHERE: 1}
    await world.accept(refund("INTRO", minute=3, **named))
    assert await world.wanted() == {"id:shop:ada": 0, EVERYWHERE: 0}
    assert await seats_of(world, registration) == [(1, "claimed", ""), (2, "revoked", "order")]
    assert [(await claim(world, code, JOE)).became for code in (first, second)] == ["revoked", "revoked"]
    if known:
        await world.accept(cancel("INTRO", action=Action.RESUME, minute=4, undoes="refunds", **named))
        assert await world.wanted() == {"id:shop:ada": 1, EVERYWHERE: 1}
        assert (await claim(world, second, JOE)).became == "claimed"
    effects = await world.rows("SELECT effect FROM effect WHERE registration_id = :id", id=claimed.registration_id)
    assert {"created", "suspended", "resumed", "refunded"} <= {row.effect for row in effects}


async def test_whoever_has_bought_it_too_stays_in(world: World):
    """Access is counted: the refund of the seats takes away only what rested on them alone."""
    registration = await bought(world, 2, order="o1")
    (code,) = await codes(world, registration)
    await claim(world, code)
    await world.ids(buy("INTRO", who=EVE, order="o2", minute=5))
    await world.accept(refund(business_key="o1", minute=9))
    assert await world.wanted() == {"id:shop:ada": 0, EVERYWHERE: 1}


async def test_a_repeat_makes_no_second_set_and_a_greater_quantity_more(world: World):
    """The number of seats is that of the newest word; what is too much is revoked, the newest first, and comes back."""
    registration = await bought(world, 3, order="o1")
    first = await codes(world, registration)
    await bought(world, 3, order="o1", minute=1)
    assert await codes(world, registration) == first
    await bought(world, 5, order="o1", minute=2)
    assert (await codes(world, registration))[:2] == first
    assert len(await codes(world, registration)) == 4
    await bought(world, 2, order="o1", minute=1)
    assert len(await codes(world, registration)) == 4, "an older word changes nothing"
    await bought(world, 2, order="o1", minute=3)
    assert await seats_of(world, registration) == [(1, "open", ""), *((n, "revoked", "quantity") for n in (2, 3, 4))]
    await bought(world, 4, order="o1", minute=4)
    assert (await codes(world, registration))[:2] == first
    assert len(await codes(world, registration)) == 3


async def test_a_claimed_seat_is_not_taken_for_a_smaller_quantity(world: World):
    """Open ones go first; what is claimed beyond what is bought waits for the operator."""
    registration = await bought(world, 3, order="o1")
    for code, who in zip(await codes(world, registration), (EVE, JOE), strict=True):
        await claim(world, code, who)
    await bought(world, 2, order="o1", minute=3)
    assert [state for _, state, _ in await seats_of(world, registration)] == ["claimed", "claimed"]
    (waiting,) = await world.rows("SELECT * FROM quarantine")
    assert (waiting.kind, waiting.state, waiting.registration_id) == ("seats", "waiting", registration)
    assert waiting.note.startswith("1 more seats are claimed")
    assert await actions(world).act("release", {"every": True}, "ops") == [], "it is decided by its own number only"
    done = await actions(world).act("release", {"ids": [waiting.id]}, "ops")
    assert done[0]["became"] == "released"
    assert await world.one("SELECT count(*) FROM quarantine WHERE state = 'waiting'") == 0


async def test_the_other_source_of_an_order_takes_no_seats(world: World):
    """A payment system that knows nothing of quantities says one."""
    registration = await bought(world, 3, order="o1")
    assert await world.ids(buy("INTRO", order="o1", minute=2), source=PAY) == [registration]
    assert len(await codes(world, registration)) == 2


async def test_some_units_came_back(world: World):
    """As many open seats end, the newest first, once for each event; the first learner and the others stay."""
    registration = await bought(world, 4, order="o1")
    back = refund(several("INTRO", 4, returned=2), full=False, business_key="o1", event_key="e1")
    for _ in range(2):
        await world.accept(back)
    assert await seats_of(world, registration) == [(1, "open", ""), (2, "revoked", "refund"), (3, "revoked", "refund")]
    assert await world.wanted() == {"id:shop:ada": 1}
    event = await world.one("SELECT max(id) FROM event")
    await bought(world, 4, order="o1")
    assert len(await codes(world, registration)) == 1, "the purchase told again brings none of them back"
    assert event


async def test_more_came_back_than_is_open(world: World):
    """Nobody who is in is put out by a guess: the rest is the operator's, and his revocation ends the wait."""
    registration = await bought(world, 3, order="o1")
    await claim(world, (await codes(world, registration))[0])
    await world.accept(refund(several("INTRO", 3, returned=2), full=False, business_key="o1"))
    assert await seats_of(world, registration) == [(1, "claimed", ""), (2, "revoked", "refund")]
    (waiting,) = await world.rows("SELECT * FROM quarantine WHERE state = 'waiting'")
    assert "decide about 1 by bridge seats revoke" in waiting.note
    await revise(world, registration, numbers=[1])
    assert await world.wanted() == {"id:shop:ada": 1, EVERYWHERE: 0}
    assert await world.one("SELECT count(*) FROM quarantine WHERE state = 'waiting'") == 0


async def test_a_duration_counts_from_the_claim(world: World):
    """Claimed a month later, it ends a month later; the order's own end goes before, and is the end of open links too."""
    registration = await bought(world, 3, "YEAR", order="o1")
    world.now = milliseconds(at(0) + timedelta(days=30))
    claimed = await claim(world, (await codes(world, registration))[0])
    ends = 'SELECT expires_at FROM "grant" WHERE registration_id = :id'
    assert await world.one(ends, id=claimed.registration_id) == milliseconds(at(0) + timedelta(days=395))
    limit = at(0) + timedelta(days=60)
    limited = await bought(world, 3, "YEAR", order="o2", options=Options(expires_at=limit))
    first, second = await codes(world, limited)
    assert await world.one(ends, id=(await claim(world, first)).registration_id) == milliseconds(limit)
    world.now = milliseconds(limit)
    assert (await claim(world, second, JOE)).became == "revoked"


async def test_a_last_day_that_was_there_when_it_was_bought_holds_for_the_claim(world: World):
    """After the course's last day a seat opens nothing any more."""
    usual = mapping()
    world.catalogue = replace(usual, courses={**usual.courses, "intro": replace(usual.courses["intro"], until=at(60))})
    registration = await bought(world, 2)
    (code,) = await codes(world, registration)
    world.now = milliseconds(at(61))
    assert (await claim(world, code)).became == "revoked"
    assert await world.counts("registration") == {"registration": 1}


async def test_the_next_period_of_a_subscription_keeps_its_seats(world: World):
    """Whoever claimed is in for the next period as well, open links work on, and each period ends by itself."""

    def month(n: int, quantity: int = 3) -> Any:
        ends = Options(expires_at=at(0) + timedelta(days=30 * (n + 1)))
        return buy(several("INTRO", quantity), minute=10 * n, order=f"period-{n}", options=ends).model_copy(
            update={"order": Order(subscription_id="sub-1")}
        )

    (first,) = await world.ids(month(0))
    one, two = await codes(world, first)
    await claim(world, one)
    (second,) = await world.ids(month(1))
    assert await seats_of(world, first) == [(1, "claimed", "")]
    assert await seats_of(world, second) == [(1, "claimed", ""), (2, "open", "")]
    assert (await claim(world, two, JOE)).became == "claimed"
    await world.accept(refund(business_key="period-0", minute=15))
    assert await world.wanted() == {"id:shop:ada": 1, EVERYWHERE: 1, "email:joe@example.org": 1}
    await world.accept(refund(business_key="period-1", minute=16))
    assert set((await world.wanted()).values()) == {0}
    (third,) = await world.ids(month(3))
    (late,) = await world.ids(month(2))
    assert await seats_of(world, late) == []
    assert len(await seats_of(world, third)) == 2


async def test_a_renewal_without_a_business_key_renews_the_claimed_seats(world: World):
    """Bought again after a year, the others' year begins anew as well."""
    registration = await bought(world, 2, "YEAR")
    (code,) = await codes(world, registration)
    claimed = await claim(world, code)
    year = 365 * 24 * 60
    renewed = buy(several("YEAR", 2), minute=year - 60)
    assert await world.ids(renewed, event=request(received_at=at(year))) == [registration]
    ends = await world.one('SELECT expires_at FROM "grant" WHERE registration_id = :id', id=claimed.registration_id)
    assert ends == milliseconds(at(2 * year - 60))


async def test_unpaid_seats_are_held_until_it_is_paid(world: World):
    """Kept and not given, like the purchase itself."""
    registration = await bought(world, 2, order="o1", paid=False)
    (code,) = await codes(world, registration)
    assert (await claim(world, code)).became == "held"
    await bought(world, 2, order="o1", minute=1)
    assert (await claim(world, code)).became == "claimed"


def mailing() -> Catalogue:
    return replace(mapping(), mailer=MailerEntry(), public_url="https://bridge.example.org/")


async def mails(world: World) -> list[tuple[str, list[str]]]:
    rows = await world.rows("SELECT recipient, kind, data FROM notice ORDER BY id")
    assert {row.kind for row in rows} <= {"seats"}
    return [
        (row.recipient, [found.rpartition("/claim/")[2] for found in json.loads(row.data)["links"]]) for row in rows
    ]


async def test_the_links_are_mailed_once_to_the_buyer(world: World):
    """One mail with all of them; a repeat says nothing again, and a greater quantity tells of the new ones only."""
    world.catalogue = mailing()
    registration = await bought(world, 3, order="o1", buyer=BOB)
    first = await codes(world, registration)
    assert await mails(world) == [("bob@example.org", first)]
    data = json.loads(await world.one("SELECT data FROM notice"))
    assert (data["courses"], data["quantity"]) == ([{"title": "Introduction", "url": "https://x.example/intro"}], 2)
    assert data["links"][0] == f"https://bridge.example.org/claim/{first[0]}"
    await bought(world, 3, order="o1", minute=1, buyer=BOB)
    await bought(world, 4, order="o1", minute=2, buyer=BOB)
    assert (await mails(world))[1:] == [("bob@example.org", (await codes(world, registration))[2:])]
    await revise(world, registration, numbers=[1], renew=True)
    await world.accept(cancel(action=Action.SUSPEND, business_key="o1", minute=3))
    await world.accept(cancel(action=Action.RESUME, business_key="o1", minute=4))
    assert len(await mails(world)) == 2


@pytest.mark.parametrize("paid_by", ["a resumption", "the purchase told again"])
async def test_links_of_an_unpaid_order_are_mailed_when_it_is_paid(world: World, paid_by: str):
    """To the buyer who was named at first, although a resumption names nobody."""
    world.catalogue = mailing()
    await bought(world, 2, order="o1", paid=False, buyer=BOB)
    assert await mails(world) == []
    if paid_by == "a resumption":
        await world.accept(cancel(action=Action.RESUME, business_key="o1", minute=1))
    else:
        await bought(world, 2, order="o1", minute=1)
    assert [recipient for recipient, _ in await mails(world)] == ["bob@example.org"]


async def test_an_order_that_was_taken_back_before_it_came_has_no_link(world: World):
    """If that is undone one day, the links are there."""
    await world.accept(cancel("INTRO", business_key="o1", learner=ADA, minute=5))
    registration = await bought(world, 2, order="o1")
    assert await seats_of(world, registration) == [(1, "revoked", "order")]
    await world.accept(cancel("INTRO", action=Action.RESUME, business_key="o1", minute=6))
    assert len(await codes(world, registration)) == 1


async def test_a_code_nobody_has_and_a_product_nobody_maps(world: World):
    """The one opens nothing; with the other the seat stays open until somebody maps it."""
    assert (await claim(world, "x" * 32)).became == "unknown"
    registration = await bought(world, 2)
    (code,) = await codes(world, registration)
    world.catalogue = mapping(products={})
    assert (await claim(world, code)).became == "unavailable"
    world.catalogue = mapping()
    assert (await claim(world, code)).became == "claimed"


async def test_an_absurd_quantity_makes_no_absurd_number_of_rows(world: World):
    """A million kilos are no million people."""
    registration = await bought(world, 2**31 - 1)
    assert await world.one("SELECT count(*) FROM seat WHERE registration_id = :id", id=registration) == 1_000


async def test_an_operator_takes_seats_back_and_renews_a_leaked_link(world: World):
    """A dry run changes nothing; it is recorded; whoever claimed loses access; the old link is dead, the new one works."""
    registration = await bought(world, 5)
    first, second, third, fourth = await codes(world, registration)
    await claim(world, first)
    before = await seats_of(world, registration)
    dry = await revise(world, registration, numbers=[1, 2], renew=True, dry_run=True)
    assert [(one["number"], one["before"], one["became"], one["code"]) for one in dry] == [
        (1, "claimed", "renewed", None),
        (2, "open", "renewed", None),
    ]
    assert await seats_of(world, registration) == before
    (done,) = await revise(world, registration, numbers=[1], renew=True)
    assert await world.wanted() == {"id:shop:ada": 1, EVERYWHERE: 0}
    assert (await claim(world, first)).became == "revoked"
    assert (await claim(world, done["code"], JOE)).became == "claimed"
    await revise(world, registration, numbers=[2])
    assert (await claim(world, second)).became == "revoked"
    await revise(world, registration, every_open=True)
    assert [(await claim(world, code)).became for code in (third, fourth)] == ["revoked", "revoked"]
    (again,) = await revise(world, registration, numbers=[2])
    assert (again["became"], again["note"]) == ("unchanged", "it is revoked already")
    rows = await world.rows("SELECT operator, action, subject, note FROM operator_action ORDER BY id")
    assert [tuple(row) for row in rows] == [
        ("ops", "seats", str(registration), "renewed 1"),
        ("ops", "seats", str(registration), "revoked 2"),
        ("ops", "seats", str(registration), "revoked 3, 4"),
    ]
    with pytest.raises(ActionRefused, match="has no seats"):
        await revise(world, 999, every_open=True)
    with pytest.raises(ActionRefused, match="say which"):
        await revise(world, registration)


async def test_what_an_operator_took_back_stays_so_when_the_order_comes_again(world: World):
    """Neither a suspension that ends nor the purchase told again gives the seat or its access back."""
    registration = await bought(world, 3, order="o1")
    await claim(world, (await codes(world, registration))[0])
    await revise(world, registration, numbers=[1])
    await world.accept(cancel(action=Action.SUSPEND, business_key="o1", minute=1))
    await world.accept(cancel(action=Action.RESUME, business_key="o1", minute=2))
    await bought(world, 3, order="o1", minute=3)
    assert await world.wanted() == {"id:shop:ada": 1, EVERYWHERE: 0}
    assert await seats_of(world, registration) == [(1, "revoked", "operator"), (2, "open", "")]


async def test_the_order_replayed_carries_its_seats_to_the_mapping_of_today(world: World):
    """Whoever claimed gets what the product leads to by now; a claim's own event can't be replayed."""
    registration = await bought(world, 2, order="o1")
    (code,) = await codes(world, registration)
    claimed = await claim(world, code)
    world.catalogue = selling("first", courses=("ethics",))
    held = [one.model_copy(update={"occurred_at": at(0)}) for one in [buy(several("INTRO", 2), order="o1")]]
    acting = Actions(world.ledger, lambda: world.catalogue, SetClock(moment(world.now)), adapter=lambda _: _Says(held))
    event = await world.one("SELECT min(id) FROM event")
    done = await acting.act("replay", {"ids": [event, claimed.event_id]}, "ops")
    assert [one["became"] for one in done] == ["replayed", "impossible"]
    rows = await world.rows('SELECT person, course, wanted FROM "right" ORDER BY id')
    assert [(row.person, row.course, row.wanted) for row in rows] == [
        ("id:shop:ada", '{"course_id":1}', 0),
        (EVERYWHERE, '{"course_id":1}', 0),
        ("id:shop:ada", '{"course_id":2}', 1),
        (EVERYWHERE, '{"course_id":2}', 1),
    ]
    assert await seats_of(world, registration) == [(1, "claimed", "")]


class _Says:
    def __init__(self, commands: list[Any]) -> None:
        self._commands = commands

    def normalise(self, _event: Any) -> list[Any]:
        return self._commands


async def test_a_changed_address_of_the_holder_follows(world: World):
    """A claimed seat is a registration like any other."""
    registration = await bought(world, 2)
    (code,) = await codes(world, registration)
    await claim(world, code, Learner(email="bob@example.org"))
    assert await world.ids(buy("INTRO", who=BOB))
    assert await world.accept(update(BOB))
    assert SHOP.name == "shop"
    assert await world.ledger.read(lambda connection: kept.told(connection, registration))


async def test_claimed_seats_follow_what_takes_effect_later(world: World):
    """A subscription that was cancelled to the end of its period ends for everybody who claimed a seat of it, then."""
    order = Order(subscription_id="sub-1")
    purchase = buy(several("INTRO", 3), order="period-1", minute=0)
    [registration] = await world.ids(purchase.model_copy(update={"order": order}))
    claimed = await claim(world, (await codes(world, registration))[0])
    await world.deliver("lms")
    await world.accept(cancel(order=order, minute=1, effective_at=at(20_000)))
    assert await world.state(claimed.registration_id) == "active"
    world.now = milliseconds(at(20_000))
    assert await world.ledger.write(lambda unit: due.take_effect(unit, world.catalogue, world.now, 200)) == 1
    await world.deliver("lms")
    assert [await world.state(one) for one in (registration, claimed.registration_id)] == ["cancelled", "cancelled"]
    assert await seats_of(world, registration) == [(1, "claimed", ""), (2, "revoked", "order")]
