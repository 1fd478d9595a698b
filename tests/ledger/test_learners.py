"""People: who is known by an id is never overwritten by hearsay, and nothing that is known is lost."""

from __future__ import annotations

import asyncio

import pytest

from bridge.contract.command import Learner
from tests.ledger.rig import ADA, AMS, BOB, SHOP, World, buy, update


async def people(world: World) -> list[tuple]:
    return [
        tuple(row)
        for row in await world.rows("SELECT remote_user_id, email, first_name, phone FROM learner ORDER BY id")
    ]


async def test_a_person_known_by_address_only_never_overwrites_one_known_by_id(world: World):
    """Anybody can type somebody else's address into a checkout."""
    await world.accept(buy("INTRO", who=ADA))
    await world.accept(buy("INTRO", order="o-2", who=Learner(email="ADA@Example.org", first_name="Mallory")))
    assert await people(world) == [("ada", "ada@example.org", "Ada", ""), (None, "ADA@Example.org", "Mallory", "")]


async def test_a_person_is_known_by_namespace_and_id(world: World):
    """The same id in another namespace is somebody else; in the same one it is the same person, whichever the source."""
    await world.accept(buy("INTRO"), source=SHOP)
    await world.accept(buy("INTRO"), source=AMS)
    assert await world.one("SELECT count(*) FROM learner") == 2


async def test_two_spellings_of_an_address_are_one_person(world: World):
    """Case and the form of an international domain don't matter; what was given first is what is kept."""
    for address in ("Bob@Bücher.example", "bob@xn--bcher-kva.example", "BOB@BÜCHER.example"):
        await world.accept(buy("INTRO", who=Learner(email=address)))
    assert await people(world) == [(None, "Bob@Bücher.example", "", "")]


async def test_an_empty_field_never_overwrites_a_full_one(world: World):
    """A sender that leaves something out does not take it back."""
    await world.accept(buy("INTRO", who=ADA.model_copy(update={"phone": "+44 1"})))
    await world.accept(update(Learner(remote_user_id="ada")))
    assert await people(world) == [("ada", "ada@example.org", "Ada", "+44 1")]


async def test_attributes_are_merged(world: World):
    """What is said again is replaced, the rest stays."""
    for attributes in ({"a": "1", "b": "1"}, {"b": "2"}, {"c": "3"}):
        await world.accept(update(ADA.model_copy(update={"attributes": attributes})))
    assert await world.one("SELECT attributes FROM learner") == '{"a":"1","b":"2","c":"3"}'


@pytest.mark.parametrize("keyed", [{"event_key": "e"}, {"business_key": "o"}], ids=["event key", "business key"])
async def test_a_stale_dated_update_is_ignored(world: World, keyed: dict[str, str]):
    """It only fills in what nobody has said yet."""
    name = next(iter(keyed))
    await world.accept(update(ADA, minute=10, **{name: "new"}))
    stale = ADA.model_copy(update={"first_name": "Old", "phone": "+44 2", "attributes": {"k": "v"}})
    await world.accept(update(stale, minute=5, **{name: "old"}))
    assert await people(world) == [("ada", "ada@example.org", "Ada", "+44 2")]
    assert await world.one("SELECT attributes FROM learner") == '{"k":"v"}'


async def test_a_confirmation_counts_as_news(world: World):
    """What was said at 1 and again at 30 is not undone by a word of 20."""
    await world.accept(update(ADA, minute=1, event_key="a"))
    await world.accept(update(ADA, minute=30, event_key="b"))
    await world.accept(update(ADA.model_copy(update={"first_name": "Late"}), minute=20, event_key="c"))
    assert await people(world) == [("ada", "ada@example.org", "Ada", "")]


async def test_a_sender_without_times_is_taken_at_its_word(world: World):
    """Whatever it says last counts."""
    await world.accept(update(ADA, minute=10))
    await world.accept(update(ADA.model_copy(update={"first_name": "Augusta"}), minute=5))
    assert await people(world) == [("ada", "ada@example.org", "Augusta", "")]


async def test_people_of_one_group_don_t_get_mixed_up(world: World):
    """Many people, known and new, by id and by address, in one transaction."""
    await world.accept(update(BOB))
    who = [
        BOB.model_copy(update={"first_name": "Robert"}),
        ADA,
        Learner(email="bob@example.org", first_name="Other"),
        *(Learner(remote_user_id=f"u{n}", email=f"u{n}@example.org", first_name=f"N{n}") for n in range(40)),
    ]
    await world.together(*[buy("INTRO", who=person, order=f"o-{n}", minute=2) for n, person in enumerate(who)])
    found = {row.remote_user_id or row.email: row.first_name for row in await world.rows("SELECT * FROM learner")}
    assert found == {"bob": "Robert", "ada": "Ada", "bob@example.org": "Other"} | {f"u{n}": f"N{n}" for n in range(40)}
    rows = await world.rows(
        "SELECT l.first_name, g.business_key FROM registration g JOIN learner l ON l.id = g.learner_id"
    )
    assert {row.business_key: row.first_name for row in rows} == {f"o-{n}": p.first_name for n, p in enumerate(who)}


async def test_changed_data_follows_to_who_holds_something(world: World):
    """A new name is an update at the LMS; a new phone number, which it does not keep, is nothing."""
    await world.accept(buy("INTRO"), source=AMS)
    await world.deliver("lms")
    await world.accept(update(ADA.model_copy(update={"first_name": "Augusta"})), source=AMS)
    assert [(work.operation.value, work.learner.first_name) for work in await world.deliver("lms")] == [
        ("update", "Augusta")
    ]
    await world.accept(update(ADA.model_copy(update={"first_name": "Augusta", "phone": "+44 3"})), source=AMS)
    assert await world.deliver("lms") == []


async def test_changed_data_that_comes_with_a_purchase_follows_too(world: World):
    """A repeated registration updates the learner."""
    await world.accept(buy("INTRO"), source=AMS)
    await world.deliver("lms")
    await world.accept(buy("INTRO", who=ADA.model_copy(update={"last_name": "King"})), source=AMS)
    assert [(work.operation.value, work.learner.last_name) for work in await world.deliver("lms")] == [
        ("update", "King")
    ]


async def test_two_bridges_that_change_one_person_at_once_lose_nothing(pair: tuple[World, World]):
    """Two machines each add an attribute at the same moment: both are there."""
    for n in range(20):
        await asyncio.gather(
            *(
                world.accept(update(ADA.model_copy(update={"attributes": {f"{side}{n}": "x"}})))
                for side, world in enumerate(pair)
            )
        )
    attributes = await pair[0].one("SELECT attributes FROM learner")
    assert attributes.count(":") == 40
