"""Whom the links of seats are mailed to, and whom they are not."""

from __future__ import annotations

import json
from dataclasses import replace

from bridge.app.mailer import ENTRY
from bridge.contract.outbound import Work
from bridge.dispatch.work import compute
from tests.ledger.rig import ADA, BOB, OPERATIONS, World, buy, update
from tests.ledger.test_seats import bought, codes, mailing, several


async def addressed(world: World) -> list[tuple[str, int]]:
    """Claim what is due at the mailer; return to whom it goes, and how many links it holds."""
    found = [compute(one, ENTRY, OPERATIONS, world.catalogue) for one in await world.claim("mailer")]
    works = [work for work in found if isinstance(work, Work)]
    return [(work.notice.recipient, len(work.notice.data["links"])) for work in works]


async def test_an_address_that_was_corrected_meanwhile_gets_the_links(world: World):
    """Who bought for themselves is written to at the address of the day, as by any notice."""
    world.catalogue = mailing()
    await bought(world, 3, order="o1")
    await world.accept(update(ADA.model_copy(update={"email": "right@example.org"})))
    assert await addressed(world) == [("right@example.org", 2)]


async def test_a_buyer_who_is_the_learner_is_one_person(world: World):
    """Named twice, by the same address, they are written to as the learner."""
    world.catalogue = mailing()
    await bought(world, 3, order="o1", buyer=ADA.model_copy(update={"email": "ADA@example.org"}))
    await world.accept(update(ADA.model_copy(update={"email": "right@example.org"})))
    assert await addressed(world) == [("right@example.org", 2)]


async def test_more_links_go_to_whoever_got_the_first(world: World):
    """A later word on the order that names no buyer does not send the buyer's links to the learner."""
    world.catalogue = mailing()
    await bought(world, 3, order="o1", buyer=BOB)
    await bought(world, 4, order="o1", minute=2)
    assert await addressed(world) == [("bob@example.org", 2), ("bob@example.org", 1)]


async def test_links_of_two_buyers_are_two_mails(world: World):
    """An unpaid order that was told anew by another buyer, with more."""
    world.catalogue = replace(mailing(), public_url=None)
    await bought(world, 2, order="o1", buyer=BOB)
    world.catalogue = mailing()
    await bought(world, 3, order="o1", minute=2, buyer=ADA.model_copy(update={"email": "eve@example.org"}))
    assert await addressed(world) == [("bob@example.org", 1), ("eve@example.org", 1)]


async def test_an_order_that_passes_to_another_learner_tells_that_one_of_the_links(world: World):
    """What has not gone out to the mistyped address does not go there any more."""
    world.catalogue = mailing()
    registration = await bought(world, 3, order="o1")
    await world.accept(buy(several("INTRO", 3), who=BOB, order="o1", minute=2))
    assert await addressed(world) == [("bob@example.org", 2)]
    told = await world.one("SELECT data FROM notice ORDER BY id DESC LIMIT 1")
    assert [found.rpartition("/")[2] for found in json.loads(told)["links"]] == await codes(world, registration)
