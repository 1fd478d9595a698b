"""Posts with many rows: one transaction, and a bad row does not sink the others. Test orders, and what tells a repeat."""

from __future__ import annotations

from dataclasses import replace

from bridge.contract.inbound import Unreadable
from tests.ledger.rig import BOB, SHOP, Adapter, World, buy, cancel, request

BAD = Unreadable("row 7", {"email": "is missing"})


class Webhook(Adapter):
    """A sender that does not read our answer."""

    synchronous = False


async def _posted(world: World, *meanings, source=SHOP):
    return await world.intake.receive(source, Webhook(meanings), request())


async def test_a_bad_row_waits_and_the_others_are_taken(world: World):
    """Under one event, in one transaction."""
    reception = await _posted(world, buy("INTRO", order="o-1"), BAD, buy("ETHICS", who=BOB, order="o-2"))
    assert [line.remote_product_id for line in reception.lines] == ["INTRO", "ETHICS"]
    assert await world.rows("SELECT kind, note, event_id FROM quarantine") == [
        ("unreadable", "row 7: email: is missing", reception.event_id)
    ]
    assert await world.counts("event") == {"event": 1}


async def test_several_bad_rows_wait_each_by_itself(world: World):
    """An operator has to look at each."""
    await _posted(world, BAD, replace(BAD, row="row 8"))
    assert [row.note for row in await world.rows("SELECT note FROM quarantine ORDER BY id")] == [
        "row 7: email: is missing",
        "row 8: email: is missing",
    ]


async def test_a_post_of_one_bad_row_is_an_event_that_can_t_be_read(world: World):
    """As if the adapter had refused it."""
    assert (await _posted(world, BAD)).kind == "ignored"
    assert await world.rows("SELECT state FROM event") == [("unreadable",)]


async def test_the_same_occurrences_in_another_post_are_repeats_and_the_new_one_counts(world: World):
    """A sender that packs its retries differently loses nothing, and doubles nothing."""
    first, second, third = (
        buy("INTRO", who=BOB, order=f"o-{n}").model_copy(update={"event_key": f"e-{n}"}) for n in (1, 2, 3)
    )
    await _posted(world, first, second)
    await _posted(world, first, second)
    assert await world.counts("event", "registration") == {"event": 1, "registration": 2}
    await _posted(world, second, third)
    await _posted(world, first)
    assert await world.counts("event", "registration") == {"event": 3, "registration": 3}


async def test_test_orders_are_left_out(world: World):
    """And in test mode, everything else is."""
    real = buy("INTRO", order="o-1")
    test = buy("INTRO", who=BOB, order="o-2", livemode=False)
    assert (await _posted(world, test)).kind == "ignored"
    assert await world.counts("event", "registration") == {"event": 0, "registration": 0}
    await _posted(world, real, test)
    assert await world.wanted() == {"id:shop:ada": 1}
    trial = replace(SHOP, test_mode=True)
    assert (await _posted(world, buy("INTRO", order="o-3"), source=trial)).kind == "ignored"
    await _posted(world, test, source=trial)
    assert await world.wanted() == {"id:shop:ada": 1, "id:shop:bob": 1}


async def test_a_synchronous_caller_is_told_of_its_bad_row_and_nothing_is_taken(world: World):
    """It reads the answer, and sends the corrected whole again."""
    reception = await world.intake.receive(SHOP, Adapter([buy("INTRO"), BAD]), request())
    assert (reception.kind, reception.faults) == ("invalid", {"email": "is missing"})
    assert await world.counts("registration") == {"registration": 0}


async def test_purchase_and_cancellation_in_one_post(world: World):
    """In the order in which they happened, whatever their order in the post."""
    await _posted(world, cancel(business_key="o-1", minute=2), buy("INTRO", order="o-1", minute=1))
    assert await world.wanted() == {"id:shop:ada": 0}
