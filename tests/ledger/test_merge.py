"""Two learners are one person, as an operator says: what they bought, who is let in where, and how it is undone."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from bridge.actions import ActionRefused, Actions
from bridge.contract.command import Action, Learner
from bridge.contract.outbound import Receipt, Refs, Refused, TryLater
from bridge.jobs.expiry import expire
from bridge.kit.clock import milliseconds, moment
from bridge.ledger import claims
from tests.ledger.rig import (
    ADA,
    AMS,
    BOB,
    CRM,
    LMS,
    SCHOOL,
    SHOP,
    World,
    at,
    buy,
    cancel,
    line,
    refund,
    update,
    with_targets,
)

OTHER = Learner(email="ada@other.example.org", first_name="Ada", last_name="Lovelace")
HERE, THERE = "email:ada@example.org", "email:ada@other.example.org"
LATER = TryLater("no answer", cause="outage")


class _Clock:
    def __init__(self, world: World) -> None:
        self._world = world

    def now(self) -> Any:
        return moment(self._world.now)


def actions(world: World) -> Actions:
    return Actions(world.ledger, lambda: world.catalogue, _Clock(world))


async def merge(world: World, learner: int, into: int | None = None, **more: Any) -> Any:
    """Merge, or with ``undo`` take it back, as the operator."""
    return await actions(world).act("merge", {"learner": learner, "into": into, **more}, "olga")


async def learner(world: World, who: Learner, namespace: str) -> int:
    """Return the number of somebody the ledger knows."""
    rows = await world.rows(
        "SELECT id FROM learner WHERE namespace = :namespace AND (remote_user_id = :user OR (email = :email"
        " AND remote_user_id IS NULL AND :user = ''))",
        namespace=namespace,
        user=who.remote_user_id or "",
        email=who.email,
    )
    return int(rows[0].id)


async def both(world: World, *, product: str = "WEB") -> tuple[int, int, int, int]:
    """Let a person buy as two learners; return the learners, then their registrations."""
    [first] = await world.ids(buy(product, who=OTHER), source=SHOP)
    [second] = await world.ids(buy("BOTH", who=ADA), source=AMS)
    await world.deliver("lms")
    await world.deliver("school")
    return await learner(world, OTHER, "shop"), await learner(world, ADA, "members"), first, second


async def sent(world: World, target: str = "school", outcome: Any = None) -> list[tuple[str, str]]:
    return [(work.operation.value, work.person) for work in await world.deliver(target, outcome)]


async def owners(world: World) -> dict[int, int]:
    return {row.id: row.learner_id for row in await world.rows("SELECT id, learner_id FROM registration ORDER BY id")}


async def holds(world: World, target: str = "school") -> set[tuple[str, str]]:
    """Return who holds what at a target, as the ledger was told: (person, course)."""
    rows = await world.rows(
        "SELECT person, course_key FROM \"right\" WHERE target = :target AND held = 'yes'", target=target
    )
    return {(row.person, row.course_key) for row in rows}


async def test_access_is_given_at_the_other_account_and_then_taken_away(world: World):
    """The one account gives up its course only when the other has it."""
    one, other, first, second = await both(world)
    await merge(world, one, other)
    assert await owners(world) == {first: other, second: other}
    assert await sent(world) == [("grant", HERE), ("revoke", THERE)]
    assert {person for person, _ in await holds(world)} == {HERE}
    assert await world.state(first) == "active"


@pytest.mark.parametrize("outcome", [LATER, Refused("no such course", "make it")], ids=["later", "dead"])
async def test_nobody_is_out_while_the_other_account_can_t_be_given_access(world: World, outcome: Any):
    """While the grant fails, for a while or for good, the account that has the course keeps it."""
    one, other, *_ = await both(world)
    await merge(world, one, other)
    assert await sent(world, outcome=outcome) == [("grant", HERE)]
    assert any(person == THERE for person, _ in await holds(world))
    world.now += 3_600_000
    await actions(world).act("requeue", {"every": True}, "olga")
    assert await sent(world) == [("grant", HERE), ("revoke", THERE)]


async def test_a_cancellation_while_access_passes_over_ends_it_at_both(world: World):
    """Nothing is given any more, and what was held is taken away."""
    one, other, first, _ = await both(world)
    await merge(world, one, other)
    assert await sent(world, outcome=LATER) == [("grant", HERE)]
    await world.accept(cancel(registration_id=first), source=SHOP)
    world.now += 3_600_000
    assert await sent(world) == [("revoke", THERE)]
    assert await world.state(first) == "cancelled"


async def test_a_target_that_knows_people_by_id_is_told_of_each_account_by_its_own(world: World):
    """The revocation names the account that loses the course, not the one that keeps it."""
    await world.ids(buy("INTRO", who=BOB), source=SHOP)
    await world.ids(buy("ETHICS", who=ADA), source=AMS)
    await world.deliver("lms")
    await merge(world, await learner(world, BOB, "shop"), await learner(world, ADA, "members"))
    works = await world.deliver("lms")
    assert [(work.operation.value, work.learner.remote_user_id) for work in works] == [
        ("grant", "ada"),
        ("revoke", "bob"),
    ]


async def test_a_course_that_both_hold_is_held_once(world: World):
    """The second enrollment goes; of the two purchases either may be taken back, and the other keeps the person in."""
    [first] = await world.ids(buy("WEB", who=OTHER), source=SHOP)
    [second] = await world.ids(buy("WEB", who=ADA), source=AMS)
    await world.deliver("school")
    await merge(world, await learner(world, OTHER, "shop"), await learner(world, ADA, "members"))
    assert await sent(world) == [("revoke", THERE)]
    await world.accept(cancel(registration_id=second), source=AMS)
    assert await sent(world) == []
    await world.accept(cancel(registration_id=first), source=SHOP)
    assert await sent(world) == [("revoke", HERE)]


async def test_one_address_in_two_namespaces_is_one_account_all_along(world: World):
    """Nothing is given or taken away; the target hears of the person under one name."""
    twin = ADA.model_copy(update={"remote_user_id": "77", "first_name": "Augusta"})
    [first] = await world.ids(buy("WEB", who=twin), source=SHOP)
    [second] = await world.ids(buy("BOTH", who=ADA), source=AMS)
    await world.deliver("school")
    one, other = await learner(world, twin, "shop"), await learner(world, ADA, "members")
    done = await merge(world, one, other)
    assert (done["given"], done["taken"]) == ([], [])
    works = await world.deliver("school")
    assert [(work.operation.value, work.learner.first_name) for work in works] == [("update", "Ada")]
    await merge(world, one, undo=True)
    assert await owners(world) == {first: one, second: other}
    assert [(work.operation.value, work.learner.first_name) for work in await world.deliver("school")] == [
        ("update", "Augusta")
    ]


@pytest.mark.parametrize(
    "refs", [Refs(right={"registration": "112"}), Refs(person={"user": "81"})], ids=["enrollment", "account"]
)
async def test_two_names_of_one_account_at_the_target_lose_nothing(world: World, refs: Refs):
    """The target lets the survivor in as what it knows already: there is one enrollment, and it is not taken away."""
    [first] = await world.ids(buy("WEB", who=OTHER), source=SHOP)
    await world.ids(buy("BOOK", who=ADA), source=AMS)
    await world.deliver("school", Receipt(refs))
    await merge(world, await learner(world, OTHER, "shop"), await learner(world, ADA, "members"))
    assert await sent(world, outcome=Receipt(refs)) == [("grant", HERE)]
    assert {person for person, _ in await holds(world)} == {HERE}
    await world.accept(cancel(registration_id=first), source=SHOP)
    assert await sent(world) == [("revoke", HERE)]


async def test_accounts_of_their_own_are_told_apart(world: World):
    """Another account and another enrollment: the former one is taken away."""
    await world.ids(buy("WEB", who=OTHER), source=SHOP)
    await world.ids(buy("BOOK", who=ADA), source=AMS)
    await world.deliver("school", Receipt(Refs({"user": "81"}, {"enrollment": "1", "course": "7"})))
    await merge(world, await learner(world, OTHER, "shop"), await learner(world, ADA, "members"))
    there = Receipt(Refs({"user": "82"}, {"enrollment": "2", "course": "7"}))
    assert await sent(world, outcome=there) == [("grant", HERE), ("revoke", THERE)]


async def test_somebody_else_of_the_address_keeps_access(world: World):
    """A third learner stands behind the account as well: it is not taken away from them."""
    third = ADA.model_copy(update={"remote_user_id": "third", "email": OTHER.email})
    await world.accept(buy("WEB", who=third), source=AMS)
    one, other, *_ = await both(world)
    done = await merge(world, one, other)
    assert [taken["kept"] for taken in done["taken"]] == [True]
    assert ("revoke", THERE) not in await sent(world)


async def test_later_events_of_either_name_are_the_survivor_s(world: World):
    """By address or by id, in whichever namespace; and what they say of the merged one changes nothing of the survivor."""
    one, other, *_ = await both(world)
    await merge(world, one, other)
    [third] = await world.ids(buy("INTRO", who=OTHER.model_copy(update={"first_name": "Nobody"})), source=SHOP)
    assert (await owners(world))[third] == other
    assert (await world.rows("SELECT first_name, email FROM learner WHERE id = :id", id=other)) == [("Ada", ADA.email)]
    assert (await world.counts("learner"))["learner"] == 2
    await world.deliver("lms")
    assert await world.wanted() == {"id:members:ada": 1} or "email:ada@other.example.org" not in await world.wanted()


async def test_an_address_alone_names_somebody_who_was_merged_and_has_an_id(world: World):
    """No third learner comes of it."""
    await world.ids(buy("INTRO", who=BOB), source=SHOP)
    await world.ids(buy("WEB", who=ADA), source=AMS)
    other = await learner(world, ADA, "members")
    await merge(world, await learner(world, BOB, "shop"), other)
    by_address = Learner(email="Bob@Example.org")
    [third], [fourth] = [await world.ids(buy(product, who=by_address), source=SHOP) for product in ("ETHICS", "BOOK")]
    found = await owners(world)
    assert (found[third], found[fourth]) == (other, other)
    assert (await world.counts("learner"))["learner"] == 2
    [answer] = await world.together(buy("YEAR", who=by_address))
    assert answer.lines[0].registration_id


async def test_a_changed_address_of_the_survivor_is_followed_and_one_of_the_merged_is_not(world: World):
    """The merged learner's source may say of them what it likes."""
    one, other, *_ = await both(world)
    await merge(world, one, other)
    await world.deliver("school")
    await world.accept(update(ADA.model_copy(update={"email": "new@example.org"})), source=AMS)
    await world.accept(update(OTHER.model_copy(update={"last_name": "King"})), source=SHOP)
    assert {person for person, wanted in (await world.wanted("school")).items() if wanted} == {"email:new@example.org"}
    assert set(await sent(world)) == {("update", "email:new@example.org")}


async def test_a_chain_leads_to_its_end(world: World):
    """A into B and B into C: what names A is C's, and each link can be undone by itself."""
    third = Learner(email="third@example.org")
    [a1] = await world.ids(buy("WEB", who=OTHER), source=SHOP)
    [b1] = await world.ids(buy("BOTH", who=ADA), source=AMS)
    [c1] = await world.ids(buy("BOOK", who=third), source=SHOP)
    a, b, c = (
        await learner(world, OTHER, "shop"),
        await learner(world, ADA, "members"),
        await learner(world, third, "shop"),
    )
    await merge(world, a, b)
    await merge(world, b, c)
    [a2] = await world.ids(buy("INTRO", who=OTHER), source=SHOP)
    assert await owners(world) == {a1: c, b1: c, c1: c, a2: c}
    await merge(world, b, undo=True)
    assert await owners(world) == {a1: b, b1: b, c1: c, a2: b}
    await merge(world, a, undo=True)
    assert await owners(world) == {a1: a, b1: b, c1: c, a2: a}


async def test_a_chain_is_undone_from_its_beginning_as_well(world: World):
    """A is somebody of their own again; a merge of A elsewhere is not touched when B's is undone later."""
    third = Learner(email="third@example.org")
    [a1] = await world.ids(buy("WEB", who=OTHER), source=SHOP)
    [b1] = await world.ids(buy("BOTH", who=ADA), source=AMS)
    [c1] = await world.ids(buy("BOOK", who=third), source=SHOP)
    a, b, c = (
        await learner(world, OTHER, "shop"),
        await learner(world, ADA, "members"),
        await learner(world, third, "shop"),
    )
    await merge(world, a, b)
    await merge(world, b, c)
    await merge(world, a, undo=True)
    assert await owners(world) == {a1: a, b1: c, c1: c}
    await merge(world, a, c)
    await merge(world, b, undo=True)
    assert await owners(world) == {a1: c, b1: b, c1: c}


async def test_access_stays_while_it_passes_along_a_chain(world: World):
    """Merged again before the first account had let go: it lets go only when the last one has the course."""
    third = Learner(email="third@example.org")
    one, other, *_ = await both(world)
    await world.ids(buy("BOOK", who=third), source=SHOP)
    await merge(world, one, other)
    await merge(world, other, await learner(world, third, "shop"))
    assert set(await sent(world, outcome=LATER)) == {("grant", "email:third@example.org")}
    assert {person for person, _ in await holds(world)} == {HERE, THERE}
    world.now += 3_600_000
    works = await sent(world)
    assert set(works) == {("grant", "email:third@example.org"), ("revoke", HERE), ("revoke", THERE)}
    assert {person for person, _ in await holds(world)} == {"email:third@example.org"}


async def test_what_can_t_be_is_refused_in_words(world: World):
    """Oneself, nobody, somebody who is another by now, a circle, somebody without an address: nothing is changed."""
    one, other, *_ = await both(world)
    await world.accept(buy("BOOK", who=Learner(remote_user_id="mute")), source=AMS)
    mute = await learner(world, Learner(remote_user_id="mute"), "members")
    await merge(world, one, other)
    before = await owners(world)
    for arguments, words in (
        ((other, other), "can't be merged into itself"),
        ((one, one), "can't be merged into itself"),
        ((other, 999), "there is no learner 999"),
        ((other, one), "merge into that one"),
        ((one, mute), "already; undo that first"),
        ((other, mute), "has no e-mail address"),
    ):
        with pytest.raises(ActionRefused, match=words):
            await merge(world, *arguments)
    for more in ({"into": other, "undo": True}, {}):
        with pytest.raises(ActionRefused, match="say whom"):
            await merge(world, one, **more)
    with pytest.raises(ActionRefused, match="was not merged"):
        await merge(world, mute, undo=True)
    assert await owners(world) == before


async def test_doing_it_again_changes_nothing(world: World):
    """A merge and its undoing can be repeated; each is on record once."""
    one, other, *_ = await both(world)
    assert [(await merge(world, one, other))["became"] for _ in range(2)] == ["merged", "unchanged"]
    assert [(await merge(world, one, undo=True))["became"] for _ in range(2)] == ["undone", "unchanged"]
    rows = await world.rows("SELECT operator, action, subject FROM operator_action ORDER BY id")
    assert rows == [("olga", "merge", f"{one},{other}"), ("olga", "unmerge", f"{one},{other}")]


async def test_a_dry_run_says_it_and_does_nothing(world: World):
    """What is given, taken away, told and left, with nothing of it in the ledger afterwards."""
    world.catalogue = with_targets(LMS, SCHOOL, CRM)
    one, other, first, _ = await both(world)
    await world.deliver("crm", Receipt(Refs(person={"contact": "512"})))
    tables = ("delivery", "right", "grant", "operator_action", "learner_merge")
    before, had = await world.counts(*tables), await owners(world)
    said = await merge(world, one, other, dry_run=True)
    assert await world.counts(*tables) == before
    assert await owners(world) == had
    assert said["registrations"][0]["registration_id"] == first
    assert [(row["target"], row["person"]) for row in said["given"]] == [("school", HERE)]
    assert [(row["target"], row["person"], row["kept"]) for row in said["taken"]] == [("school", THERE, False)]
    assert said["told"] == [{"target": "crm", "person": HERE}]
    assert said["left"] == [{"target": "crm", "person": THERE, "remote_ids": {"contact": "512"}}]
    assert await merge(world, one, other) == said


async def test_the_undoing_gives_access_back_the_same_way(world: World):
    """The account that had it gets it again before the other loses it; what was bought meanwhile goes back with it."""
    one, other, first, second = await both(world)
    await merge(world, one, other)
    await world.deliver("school")
    [third] = await world.ids(buy("BOTH", who=OTHER), source=SHOP)
    for target in ("lms", "school"):
        await world.deliver(target)
    await merge(world, one, undo=True)
    assert await owners(world) == {first: one, second: other, third: one}
    works = await sent(world)
    assert works.index(("grant", THERE)) < works.index(("revoke", HERE))
    assert {person for person, _ in await holds(world)} == {HERE, THERE}
    [fourth] = await world.ids(buy("INTRO", who=OTHER), source=SHOP)
    assert (await owners(world))[fourth] == one


async def test_an_undoing_before_anything_was_done_leaves_things_as_they_were(world: World):
    """The account had not lost its course yet."""
    one, other, *_ = await both(world)
    had = await holds(world)
    await merge(world, one, other)
    await merge(world, one, undo=True)
    assert await sent(world) == []
    assert await holds(world) == had
    assert {state for _, state in await world.outbox("school")} == {"done"}


async def test_both_had_bought_the_same_where_nothing_tells_purchases_apart(world: World):
    """Both stand; a cancellation in either name ends the one that was made in it, and a repeat finds its own."""
    [first] = await world.ids(buy("WEB", who=OTHER), source=SHOP)
    [second] = await world.ids(buy("WEB", who=BOB), source=SHOP)
    one, other = await learner(world, OTHER, "shop"), await learner(world, BOB, "shop")
    done = await merge(world, one, other)
    assert [row["beside"] for row in done["registrations"]] == [True]
    assert await world.ids(buy("WEB", who=OTHER), source=SHOP) == [first]
    assert await world.ids(buy("WEB", who=BOB), source=SHOP) == [second]
    await world.deliver("school")
    assert await world.ids(cancel("WEB", learner=OTHER), source=SHOP) == [first]
    assert await sent(world) == []
    assert await world.state(second) == "active"
    [again] = await world.ids(buy("WEB", who=OTHER, minute=2), source=SHOP)
    assert again not in (first, second)
    await merge(world, one, undo=True)
    await world.ids(cancel("WEB", learner=BOB, minute=3), source=SHOP)
    await world.deliver("school")
    assert await world.state(second) == "cancelled"
    assert await world.state(again) == "active"
    assert {person for person, _ in await holds(world)} == {THERE}


async def test_each_name_keeps_what_is_bought_in_it_afterwards(world: World):
    """Bought in the one name before the merge and in the other after it: two purchases, of which each can be taken back."""
    [first] = await world.ids(buy("WEB", who=OTHER), source=SHOP)
    await world.ids(buy("BOOK", who=BOB), source=SHOP)
    one, other = await learner(world, OTHER, "shop"), await learner(world, BOB, "shop")
    await merge(world, one, other)
    [second] = await world.ids(buy("WEB", who=BOB), source=SHOP)
    assert second != first
    await world.deliver("school")
    await world.accept(cancel("WEB", learner=BOB), source=SHOP)
    assert await sent(world) == []
    await world.accept(cancel("WEB", learner=OTHER, minute=2), source=SHOP)
    assert await sent(world) == [("revoke", "email:bob@example.org")]


async def test_a_line_of_an_order_is_found_by_its_reference(world: World):
    """Of two lines of one product only the one that is named is cancelled."""
    lines = [line("WEB", "1"), line("WEB", "2")]
    [first, second] = await world.ids(buy(*lines, who=OTHER), source=SHOP)
    await world.ids(buy("BOOK", who=BOB), source=SHOP)
    await merge(world, await learner(world, OTHER, "shop"), await learner(world, BOB, "shop"))
    assert await world.ids(cancel(lines[0], learner=OTHER), source=SHOP) == [first]
    assert await world.ids(buy(*lines[1:], who=OTHER), source=SHOP) == [second]


async def test_the_lines_are_as_they_were_after_the_undoing(world: World):
    """A purchase that had to stand beside another goes back under its own line."""
    await world.ids(buy(line("WEB", "1"), who=OTHER), source=SHOP)
    await world.ids(buy(line("WEB", "1"), who=BOB), source=SHOP)
    one = await learner(world, OTHER, "shop")
    await merge(world, one, await learner(world, BOB, "shop"))
    assert len({row.line for row in await world.rows("SELECT line FROM registration")}) == 2
    await merge(world, one, undo=True)
    assert await world.rows("SELECT line FROM registration") == [("1",), ("1",)]


async def test_a_refund_of_either_order_is_counted(world: World):
    """Orders keep their numbers: a refund finds its own, and the person is in until the last is refunded."""
    await world.ids(buy("WEB", who=OTHER, order="o-1"), source=SHOP)
    await world.ids(buy("WEB", who=BOB, order="o-2"), source=SHOP)
    await world.deliver("school")
    await merge(world, await learner(world, OTHER, "shop"), await learner(world, BOB, "shop"))
    assert await sent(world) == [("revoke", THERE)]
    await world.accept(refund(business_key="o-2"))
    assert await sent(world) == []
    await world.accept(refund(business_key="o-1"))
    assert await sent(world) == [("revoke", "email:bob@example.org")]


async def test_what_was_suspended_is_resumed_at_the_survivor_s_account(world: World):
    """Suspended before the merge, resumed after it."""
    one, other, first, _ = await both(world)
    await world.accept(cancel(action=Action.SUSPEND, registration_id=first, minute=1), source=SHOP)
    await world.deliver("school")
    await merge(world, one, other)
    await world.deliver("school")
    await world.accept(cancel(action=Action.RESUME, registration_id=first, minute=2), source=SHOP)
    assert await sent(world) == [("grant", HERE)]
    assert await world.state(first) == "active"


async def test_a_grant_in_flight_is_taken_back_once_the_other_has_arrived(world: World):
    """The account is being given the course while the learner becomes another: it is not cut off in between."""
    await world.ids(buy("WEB", who=OTHER), source=SHOP)
    await world.ids(buy("BOOK", who=ADA), source=AMS)
    [claimed] = await world.claim("school")
    await merge(world, await learner(world, OTHER, "shop"), await learner(world, ADA, "members"))
    [given] = await world.claim("school")
    await world.settle(claimed)
    assert await sent(world) == []
    assert {person for person, _ in await holds(world)} == {THERE}
    await world.settle(given)
    assert await sent(world) == [("revoke", THERE)]
    assert {person for person, _ in await holds(world)} == {HERE}


async def test_the_other_grant_arrives_while_the_first_is_in_flight(world: World):
    """The slow one ends last and is undone then."""
    await world.ids(buy("WEB", who=OTHER), source=SHOP)
    await world.ids(buy("BOOK", who=ADA), source=AMS)
    [claimed] = await world.claim("school")
    await merge(world, await learner(world, OTHER, "shop"), await learner(world, ADA, "members"))
    assert await sent(world) == [("grant", HERE)]
    await world.settle(claimed)
    assert await sent(world) == [("revoke", THERE)]
    assert {person for person, _ in await holds(world)} == {HERE}


async def test_a_lost_lease_of_either_account_ends_well(world: World):
    """The bridge dies with both in flight: one course is held at the end, at the survivor's account."""
    await world.ids(buy("WEB", who=OTHER), source=SHOP)
    await world.ids(buy("BOOK", who=ADA), source=AMS)
    await world.claim("school")
    await merge(world, await learner(world, OTHER, "shop"), await learner(world, ADA, "members"))
    await world.claim("school")
    await world.ledger.write(lambda unit: claims.return_all(unit, world.now))
    assert await sent(world) == [("grant", HERE), ("revoke", THERE)]
    assert {person for person, _ in await holds(world)} == {HERE}


async def test_a_dead_letter_of_the_merged_learner_is_superseded(world: World):
    """The course is given at the other account; nobody is asked to mend what nobody needs any more."""
    [first] = await world.ids(buy("WEB", who=OTHER), source=SHOP)
    await world.ids(buy("BOOK", who=ADA), source=AMS)
    await world.deliver("school", Refused("the address is not taken", "ask the learner"))
    assert await world.state(first) == "failed"
    await merge(world, await learner(world, OTHER, "shop"), await learner(world, ADA, "members"))
    assert await sent(world) == [("grant", HERE)]
    assert await world.state(first) == "active"
    assert {state for _, state in await world.outbox("school")} == {"done"}


async def test_the_survivor_s_contact_knows_what_was_told_before(world: World):
    """A deal or an event of a purchase is not told once more; the merged learner's contact is left alone."""
    world.catalogue = with_targets(LMS, CRM)
    [first] = await world.ids(buy("BOOK", who=OTHER), source=SHOP)
    await world.deliver("crm", Receipt(Refs(person={"contact": "512", f"deal:{first}": "81"})))
    await world.ids(buy("BOOK", who=ADA), source=AMS)
    await world.deliver("crm", Receipt(Refs(person={"contact": "600"})))
    await merge(world, await learner(world, OTHER, "shop"), await learner(world, ADA, "members"))
    [work] = await world.deliver("crm")
    assert (work.person, len(work.enrollments)) == (HERE, 2)
    assert dict(work.refs.person) == {"contact": "600", f"deal:{first}": "81"}


async def test_a_contact_that_is_just_being_told_is_waited_for(world: World):
    """What the target answers is known before the purchase passes over."""
    world.catalogue = with_targets(LMS, CRM)
    [first] = await world.ids(buy("BOOK", who=OTHER), source=SHOP)
    [claimed] = await world.claim("crm")
    await world.ids(buy("BOOK", who=ADA), source=AMS)
    one, other = await learner(world, OTHER, "shop"), await learner(world, ADA, "members")
    merging = asyncio.create_task(merge(world, one, other))
    await asyncio.sleep(0.3)
    assert not merging.done()
    await world.settle(claimed, Receipt(Refs(person={"contact": "512", f"deal:{first}": "81"})))
    assert (await merging)["became"] == "merged"
    [work] = await world.deliver("crm")
    assert work.refs.person[f"deal:{first}"] == "81"


async def test_open_crm_work_of_the_merged_learner_tells_the_survivor_s_contact(world: World):
    """What waited for the LMS, what was due, and what nobody knows the end of: one contact is told of all."""
    world.catalogue = with_targets(LMS, CRM)
    [first] = await world.ids(buy("BOOK", who=OTHER), source=SHOP)
    [claimed] = await world.claim("crm")
    await world.settle(claimed, TryLater("no answer", applied="unknown", cause="outage"))
    [second] = await world.ids(buy("INTRO", who=OTHER), source=SHOP)
    await world.ids(buy("BOOK", who=ADA), source=AMS)
    await merge(world, await learner(world, OTHER, "shop"), await learner(world, ADA, "members"))
    await world.deliver("lms")
    world.now += 3_600_000
    works = await world.deliver("crm")
    assert {work.person for work in works} == {HERE}
    assert works[0].unknown
    told = {found.registration_id for work in works for found in work.enrollments}
    assert {first, second} <= told


async def test_the_undoing_tells_both_contacts(world: World):
    """Each hears of its own purchases again."""
    world.catalogue = with_targets(LMS, CRM)
    [first] = await world.ids(buy("BOOK", who=OTHER), source=SHOP)
    [second] = await world.ids(buy("BOOK", who=ADA), source=AMS)
    one = await learner(world, OTHER, "shop")
    await merge(world, one, await learner(world, ADA, "members"))
    await world.deliver("crm")
    await merge(world, one, undo=True)
    told = {work.person: [row.registration_id for row in work.enrollments] for work in await world.deliver("crm")}
    assert told == {THERE: [first], HERE: [second]}


async def test_a_group_of_events_of_one_person_under_two_names(world: World):
    """They share a transaction, and the person buys each product once."""
    one, other, *_ = await both(world)
    await merge(world, one, other)
    answers = await world.together(*(buy("INTRO", who=who) for who in (OTHER, BOB, OTHER)))
    assert len({answer.lines[0].registration_id for answer in answers}) == 2
    found = await owners(world)
    assert found[answers[0].lines[0].registration_id] == other


async def test_two_operators_who_merge_crosswise_make_no_circle(pair: tuple[World, World]):
    """Two bridges on one ledger: one is done, the other is refused."""
    here, there = pair
    await here.ids(buy("WEB", who=OTHER), source=SHOP)
    await here.ids(buy("WEB", who=ADA), source=AMS)
    one, other = await learner(here, OTHER, "shop"), await learner(here, ADA, "members")
    done = await asyncio.gather(merge(here, one, other), merge(there, other, one), return_exceptions=True)
    assert sorted(type(result).__name__ for result in done) == ["ActionRefused", "dict"]


async def test_a_purchase_of_the_merged_name_at_the_same_moment_is_not_lost(pair: tuple[World, World]):
    """Another bridge takes it in while the learners become one: it is the survivor's, whoever was first."""
    here, there = pair
    await here.ids(buy("BOOK", who=OTHER), source=SHOP)
    await here.ids(buy("BOOK", who=ADA), source=AMS)
    one, other = await learner(here, OTHER, "shop"), await learner(here, ADA, "members")
    products = ("WEB", "INTRO", "ETHICS", "YEAR", "BOTH")
    await asyncio.gather(
        merge(here, one, other), *(there.accept(buy(product, who=OTHER), source=SHOP) for product in products)
    )
    assert set((await owners(here)).values()) == {other}


async def test_a_line_that_waited_for_its_mapping_is_released_to_the_survivor(world: World):
    """Bought before the merge, mapped after it; and whose it was is known to the undoing."""
    await world.accept(buy("NEW", "BOOK", who=OTHER), source=SHOP)
    await world.ids(buy("WEB", who=ADA), source=AMS)
    one, other = await learner(world, OTHER, "shop"), await learner(world, ADA, "members")
    await merge(world, one, other)
    products = {**world.catalogue.products, ("shop", "NEW"): world.catalogue.products["shop", "WEB"]}
    world.catalogue = replace(world.catalogue, products=products)
    [released] = await actions(world).act("release", {"every": True}, "olga")
    assert (await owners(world))[released["registration_id"]] == other
    await merge(world, one, undo=True)
    assert (await owners(world))[released["registration_id"]] == one


async def test_a_cancellation_that_overtook_its_purchase_finds_it_after_the_merge(world: World):
    """What came under the merged name before its purchase did takes it back, whoever has it now."""
    await world.ids(buy("BOOK", who=OTHER), source=SHOP)
    await world.ids(buy("BOOK", who=ADA), source=AMS)
    await merge(world, await learner(world, OTHER, "shop"), await learner(world, ADA, "members"))
    await world.accept(cancel("WEB", learner=OTHER, business_key="o-9", minute=5), source=SHOP)
    [late] = await world.ids(buy("WEB", who=OTHER, order="o-9"), source=SHOP)
    assert await world.state(late) == "cancelled"
    assert await sent(world) == []


async def test_access_that_ends_by_date_ends_for_the_survivor(world: World):
    """A year from the purchase, in whichever name it was made."""
    [first] = await world.ids(buy("YEAR", who=BOB), source=SHOP)
    await world.ids(buy("BOOK", who=ADA), source=AMS)
    await world.deliver("lms")
    await merge(world, await learner(world, BOB, "shop"), await learner(world, ADA, "members"))
    assert await sent(world, "lms") == [("grant", "id:members:ada"), ("revoke", "id:shop:bob")]
    later = milliseconds(at(366 * 24 * 60))
    await world.ledger.write(lambda unit: expire(unit, world.catalogue, later))
    world.now = later
    assert await sent(world, "lms") == [("revoke", "id:members:ada")]
    assert await world.state(first) == "expired"
