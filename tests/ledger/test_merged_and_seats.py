"""Where a merge of learners meets seats and quarantine: both names of a person are one person's."""

from __future__ import annotations

from dataclasses import replace

from bridge.contract.command import Learner, Order
from tests.ledger.rig import ADA, AMS, BOB, World, buy, cancel
from tests.ledger.test_merge import OTHER, actions, learner, merge, owners
from tests.ledger.test_seat_mails import addressed
from tests.ledger.test_seats import EVE, bought, claim, codes, mailing, several

OLGA = Learner(remote_user_id="77", email="olga@example.org", first_name="Eve", last_name="Ning")
STRANGER = Learner(remote_user_id="77", email="kim@example.org", first_name="Kim", last_name="Li")


async def claimed_and_merged(world: World) -> tuple[int, int, int]:
    """Let Eve claim one of two seats and be the same as a member who has her user id elsewhere; return line and learners."""
    line = await bought(world, order="o-1")
    await claim(world, (await codes(world, line))[0])
    await world.ids(buy("BOTH", who=OLGA), source=AMS)
    one, other = await learner(world, EVE, "shop"), await learner(world, OLGA, "members")
    await merge(world, one, other)
    return line, one, other


async def test_a_merged_learner_opens_their_link_again(world: World):
    """The link says that the seat is theirs under either address."""
    line, _, _ = await claimed_and_merged(world)
    [code] = await codes(world, line, "claimed")
    assert (await claim(world, code)).became == "claimed"
    assert (await claim(world, code, replace_email("olga@example.org"))).became == "claimed"


async def test_a_merged_learner_claims_no_second_seat(world: World):
    """One person has one seat of an order, under whichever address they come."""
    line, _, _ = await claimed_and_merged(world)
    [code] = await codes(world, line)
    assert (await claim(world, code)).became == "another"
    assert (await claim(world, code, replace_email("olga@example.org"))).became == "another"


def replace_email(email: str) -> Learner:
    return Learner(email=email, first_name="Eve", last_name="Ning")


async def test_a_claimed_seat_given_again_stays_with_whoever_was_merged(world: World):
    """A user id of another namespace names nobody at the order's source: no stranger is let in, nobody's address changes."""
    _, _, other = await claimed_and_merged(world)
    await world.ids(buy("WEB", who=STRANGER, order="o-kim"))
    kim = await learner(world, STRANGER, "shop")
    [seat] = await world.rows("SELECT claimed_registration_id AS id FROM seat WHERE state = 'claimed'")
    await world.accept(cancel(business_key="o-1", minute=3))
    await world.accept(buy(several("INTRO", 3), order="o-1", minute=9))
    assert (await owners(world))[seat.id] == other
    assert await world.one("SELECT email FROM learner WHERE id = :id", id=kim) == "kim@example.org"


async def test_the_next_period_of_a_merged_learners_seat_is_theirs_and_passes_back(world: World):
    """A renewed subscription gives the holder of a seat the new period, as the person they are; undone, it is the other's."""
    sub = Order(subscription_id="sub-1")

    def period(number: int, minute: float):
        return buy(several("INTRO", 2), order=f"p-{number}", minute=minute).model_copy(update={"order": sub})

    [first] = await world.ids(period(1, 0))
    await claim(world, (await codes(world, first))[0])
    await world.ids(buy("BOTH", who=OLGA), source=AMS)
    one, other = await learner(world, EVE, "shop"), await learner(world, OLGA, "members")
    await merge(world, one, other)
    await world.ids(period(2, 20))
    rows = await world.rows("SELECT claimed_registration_id AS id FROM seat WHERE state = 'claimed' ORDER BY id")
    assert len(rows) == 2
    assert {(await owners(world))[row.id] for row in rows} == {other}
    await merge(world, one, undo=True)
    assert {(await owners(world))[row.id] for row in rows} == {one}


async def test_a_line_in_quarantine_is_released_beside_what_the_other_name_bought_later(world: World):
    """Both purchases stand, as they do where both were in the ledger before the merge; undone, each has their own."""
    await world.accept(buy("NEW", "BOOK", who=OTHER), source=AMS)
    await world.ids(buy("BOOK", who=ADA), source=AMS)
    one, other = await learner(world, OTHER, "members"), await learner(world, ADA, "members")
    await merge(world, one, other)
    products = {**world.catalogue.products, ("ams", "NEW"): world.catalogue.products["ams", "WEB"]}
    world.catalogue = replace(world.catalogue, products=products)
    await world.ids(buy("NEW", who=ADA, minute=30), source=AMS)
    [released] = await actions(world).act("release", {"every": True}, "olga")
    assert released["became"] == "released"
    await merge(world, one, undo=True)
    assert (await owners(world))[released["registration_id"]] == one


async def test_an_order_that_passed_to_somebody_else_is_not_given_back_to_whom_it_was_merged_from(world: World):
    """The shop corrected whose it is after the merge; that both turned out to be one person later changes nothing of it."""
    [order] = await world.ids(buy("WEB", who=OTHER, order="o-1"))
    await world.ids(buy("BOTH", who=ADA), source=AMS)
    one, other = await learner(world, OTHER, "shop"), await learner(world, ADA, "members")
    await merge(world, one, other)
    await world.accept(buy("WEB", who=BOB, order="o-1", minute=5))
    third = await learner(world, BOB, "shop")
    assert (await owners(world))[order] == third
    await merge(world, third, other)
    await merge(world, one, undo=True)
    assert (await owners(world))[order] == other
    await merge(world, third, undo=True)
    assert (await owners(world))[order] == third


async def test_links_that_were_not_mailed_yet_go_to_whoever_the_buyer_is_now(world: World):
    """Merged or undone while the mail waits: nobody who paid is left without their links."""
    world.catalogue = mailing()
    await world.ids(buy(several("INTRO", 3), who=OTHER, order="o-1"))
    await world.ids(buy("BOTH", who=ADA), source=AMS)
    one, other = await learner(world, OTHER, "shop"), await learner(world, ADA, "members")
    await merge(world, one, other)
    assert await addressed(world) == [("ada@example.org", 2)]


async def test_links_that_wait_while_a_merge_is_undone_go_to_whom_the_order_passes_back(world: World):
    """The mail is addressed to the person of the day, both ways."""
    world.catalogue = mailing()
    await world.ids(buy(several("INTRO", 3), who=OTHER, order="o-1"))
    await world.ids(buy("BOTH", who=ADA), source=AMS)
    one, other = await learner(world, OTHER, "shop"), await learner(world, ADA, "members")
    await merge(world, one, other)
    await merge(world, one, undo=True)
    assert await addressed(world) == [("ada@other.example.org", 2)]
