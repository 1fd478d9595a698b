"""A changed address follows to the targets that know people by it, and takes nothing from anybody else."""

from __future__ import annotations

from bridge.contract.command import Action, Learner
from bridge.contract.outbound import Receipt, Refs, Refused, TryLater
from tests.ledger.rig import ADA, AMS, CRM, LMS, SCHOOL, World, buy, cancel, update, with_targets

MOVED = ADA.model_copy(update={"email": "ada@new.example.org"})
NAMESAKE = ADA.model_copy(update={"remote_user_id": "other"})
OLD, NEW = "email:ada@example.org", "email:ada@new.example.org"
KNOWN = Receipt(Refs(person={"user": "81"}, right={"enrollment": "112"}))


async def wanted(world: World) -> dict[str, int]:
    return await world.wanted("school")


async def test_the_account_moves_to_the_new_address(world: World):
    """Right and remote ids go along: the target gets an update of the account it has."""
    await world.accept(buy("WEB"), source=AMS)
    await world.deliver("school", KNOWN)
    await world.accept(update(MOVED), source=AMS)
    assert await wanted(world) == {NEW: 1}
    [work] = await world.deliver("school")
    assert (work.operation.value, work.person, work.learner.email) == ("update", NEW, "ada@new.example.org")
    assert (work.refs.person, work.refs.right) == ({"user": "81"}, {"enrollment": "112"})


async def test_a_right_that_ends_leaves_an_earlier_address_to_whoever_holds_the_course_there(world: World):
    """The target would take it away from them; another course of theirs is no reason."""
    held = Receipt(Refs(right={"identifier": "Ada@new.example.org", "former": "Ada@example.org,older@example.org"}))
    ids = await world.ids(buy("WEB", "BOTH", order="o-1"), source=AMS)
    await world.deliver("school", held)
    await world.accept(update(MOVED), source=AMS)
    await world.deliver("school", held)
    await world.accept(buy("WEB", who=NAMESAKE, order="o-2"), source=AMS)
    await world.deliver("school", Receipt())
    await world.accept(cancel(business_key="o-1", minute=2), source=AMS)
    former = {work.course.course_id: work.refs.right["former"] for work in await world.deliver("school", held)}
    assert len(ids) == 2
    assert former == {7: "older@example.org", 3: "Ada@example.org,older@example.org"}


async def test_a_right_that_ends_at_somebodys_earlier_address_is_told_so(world: World):
    """As long as they are to hold the same course and are still held at that address; another course of theirs is no reason."""
    held = Receipt(Refs(right={"identifier": "Ada@new.example.org", "former": "older@example.org,Ada@example.org"}))
    await world.ids(buy("WEB", order="o-1"), source=AMS)
    await world.deliver("school", held)
    await world.accept(update(MOVED), source=AMS)
    await world.deliver("school", held)

    async def shared_when_the_newcomer_ends(order: str) -> dict[int, str | None]:
        await world.accept(buy("WEB", "BOTH", who=NAMESAKE, order=order), source=AMS)
        await world.deliver("school", Receipt())
        await world.accept(cancel(business_key=order, minute=2), source=AMS)
        return {
            work.course.course_id: work.refs.right.get("shared") for work in await world.deliver("school", Receipt())
        }

    assert await shared_when_the_newcomer_ends("o-2") == {7: "ada@example.org", 3: None}
    await world.accept(cancel(business_key="o-1", minute=2), source=AMS)
    await world.deliver("school", Receipt(Refs(right={"identifier": "Ada@new.example.org", "former": ""})))
    await world.accept(buy("WEB", who=MOVED, order="o-3", minute=3), source=AMS)
    await world.deliver("school", Receipt())
    assert await shared_when_the_newcomer_ends("o-4") == {7: None, 3: None}


async def test_a_purchase_that_brings_the_new_address_moves_the_account_too(world: World):
    """The right of the new purchase must not be in the way of the old one that moves."""
    await world.accept(buy("WEB"), source=AMS)
    await world.deliver("school", KNOWN)
    await world.accept(buy("BOTH", who=MOVED), source=AMS)
    assert await world.rows("SELECT person, wanted FROM \"right\" WHERE target = 'school'") == [(NEW, 1), (NEW, 1)]
    assert sorted(await world.operations("school")) == ["grant", "update"]


async def test_an_address_with_an_account_of_its_own_is_joined(world: World):
    """The new address holds the course already: one right at the new address, and the old account lets go."""
    await world.accept(buy("WEB", order="o-1"), source=AMS)
    await world.accept(buy("WEB", who=Learner(email="ada@new.example.org"), order="o-2"), source=AMS)
    await world.deliver("school")
    await world.accept(update(MOVED), source=AMS)
    assert await wanted(world) == {OLD: 0, NEW: 1}
    sent = await world.deliver("school")
    assert [(work.operation.value, work.learner.email) for work in sent if work.operation.value == "revoke"] == [
        ("revoke", "ada@example.org")
    ]
    await world.accept(cancel(business_key="o-2"), source=AMS)
    assert await wanted(world) == {OLD: 0, NEW: 1}
    await world.accept(cancel(business_key="o-1"), source=AMS)
    assert await wanted(world) == {OLD: 0, NEW: 0}


async def test_nobody_is_out_while_they_are_not_in_at_the_new_address(world: World):
    """The new address has another course: the old account keeps this one until the new one has it, also over a dead letter."""
    await world.accept(buy("WEB", order="o-1"), source=AMS)
    await world.accept(buy("BOTH", who=Learner(email="ada@new.example.org"), order="o-2"), source=AMS)
    await world.deliver("school")
    await world.accept(update(MOVED), source=AMS)
    refused = Refused("no such course", "make it")
    assert [(work.operation.value, work.person) for work in await world.deliver("school", refused)] == [("grant", NEW)]
    await world.accept(update(MOVED.model_copy(update={"last_name": "King"}), minute=2), source=AMS)
    works = [(work.operation.value, work.person) for work in await world.deliver("school")]
    assert works[-1] == ("revoke", OLD)
    assert ("grant", NEW) in works


async def test_somebody_else_of_the_old_address_keeps_the_account(world: World):
    """Two people share an address and one moves: one account stays, another is made."""
    await world.accept(buy("WEB"), source=AMS)
    await world.accept(buy("WEB", who=NAMESAKE), source=AMS)
    await world.deliver("school", KNOWN)
    await world.accept(update(MOVED), source=AMS)
    assert await wanted(world) == {OLD: 1, NEW: 1}
    sent = [(work.operation.value, work.person, work.learner.remote_user_id) for work in await world.deliver("school")]
    assert ("grant", NEW, "ada") in sent
    assert ("revoke", OLD, "ada") not in sent
    assert (
        await world.one(
            'SELECT l.remote_user_id FROM "right" w JOIN learner l ON l.id = w.learner_id WHERE person = :p', p=OLD
        )
        == "other"
    )


async def test_there_and_back_again(world: World):
    """An address that is corrected twice ends where it began, with one account and nothing lost."""
    await world.accept(buy("WEB", order="o-1"), source=AMS)
    await world.accept(buy("WEB", who=Learner(email="ada@new.example.org"), order="o-2"), source=AMS)
    await world.deliver("school")
    for who in (MOVED, ADA, MOVED, ADA):
        await world.accept(update(who), source=AMS)
        await world.deliver("school")
    assert await wanted(world) == {OLD: 1, NEW: 1}
    assert {row.state for row in await world.rows("SELECT state FROM registration")} == {"active"}


async def test_a_suspended_learner_who_moves_is_resumed_at_the_new_address(world: World):
    """Also where the new address had an account already."""
    await world.accept(buy("WEB", order="o-1"), source=AMS)
    await world.accept(buy("WEB", who=Learner(email="ada@new.example.org"), order="o-2"), source=AMS)
    await world.accept(cancel(action=Action.SUSPEND, business_key="o-1", minute=1), source=AMS)
    await world.accept(update(MOVED, minute=2), source=AMS)
    await world.accept(cancel(business_key="o-2", minute=3), source=AMS)
    await world.accept(cancel(action=Action.RESUME, business_key="o-1", minute=4), source=AMS)
    assert await wanted(world) == {OLD: 0, NEW: 1}


async def test_a_cancelled_learner_who_moves_is_resumed_at_the_new_address(world: World):
    """A dispute won long after: access is given where the person is now, and nowhere else."""
    [registration] = await world.ids(buy("WEB", order="o-1"), source=AMS)
    await world.accept(buy("WEB", who=Learner(email="ada@new.example.org"), order="o-2"), source=AMS)
    await world.deliver("school")
    await world.accept(cancel(business_key="o-1", minute=1), source=AMS)
    await world.accept(cancel(business_key="o-2", minute=1), source=AMS)
    await world.accept(update(MOVED, minute=2), source=AMS)
    await world.accept(cancel(action=Action.RESUME, business_key="o-1", minute=4), source=AMS)
    assert await wanted(world) == {OLD: 0, NEW: 1}
    await world.deliver("school")
    assert await world.state(registration) == "active"


async def test_an_account_in_flight_moves_too(world: World):
    """The address changes while the grant is on its way: what it learns is kept for the new one, and its siblings come free."""
    await world.accept(buy("WEB", "BOTH"), source=AMS)
    claimed = (await world.claim("school"))[0]
    await world.accept(update(MOVED), source=AMS)
    assert await world.claim("school") == []
    await world.settle(claimed, KNOWN)
    sent = await world.deliver("school")
    assert sorted(work.operation.value for work in sent) == ["grant", "update"]
    assert {(work.person, tuple(work.refs.person.items())) for work in sent} == {(NEW, (("user", "81"),))}
    assert {state for _, state in await world.outbox("school")} == {"done"}


async def test_a_target_that_knows_people_by_id_keeps_its_right(world: World):
    """It gets the new address as an update."""
    await world.accept(buy("INTRO"), source=AMS)
    await world.deliver("lms", KNOWN)
    await world.accept(update(MOVED), source=AMS)
    assert await world.wanted() == {"id:members:ada": 1}
    assert [(work.operation.value, work.learner.email) for work in await world.deliver("lms")] == [
        ("update", "ada@new.example.org")
    ]


async def test_the_first_address_of_somebody_replaces_the_stand_in(world: World):
    """Bought without an address, under a number of ours; when the address arrives there is one right, and it is theirs."""
    nameless = ADA.model_copy(update={"email": None})
    await world.accept(buy("WEB", who=nameless), source=AMS)
    assert [person.partition(":")[0] for person in await wanted(world)] == ["learner"]
    await world.accept(update(ADA), source=AMS)
    assert await wanted(world) == {OLD: 1}
    await world.accept(buy("WEB", who=ADA, order="o-2"), source=AMS)
    assert await world.operations("school") == ["grant"]
    assert await wanted(world) == {OLD: 1}


async def test_a_contact_follows_to_the_new_address(world: World):
    """The CRM hears of the person under the new one; open work on the old one is not sent any more."""
    world.catalogue = with_targets(LMS, CRM)
    await world.accept(buy("BOOK"), source=AMS)
    await world.accept(update(MOVED), source=AMS)
    sent = await world.deliver("crm")
    assert [(work.person, work.learner.email) for work in sent] == [(NEW, "ada@new.example.org")]


async def test_a_contact_in_flight_moves_too(world: World):
    """The address changes while the contact is made: what it learns is kept for the new one, so that no second one is made."""
    world.catalogue = with_targets(LMS, CRM)
    await world.accept(buy("BOOK"), source=AMS)
    [claimed] = await world.claim("crm")
    await world.accept(update(MOVED), source=AMS)
    assert await world.claim("crm") == []
    assert await world.settle(claimed, Receipt(Refs(person={"contact": "512"})))
    [work] = await world.deliver("crm")
    assert (work.learner.email, work.person) == ("ada@new.example.org", "email:ada@new.example.org")
    assert dict(work.refs.person) == {"contact": "512"}
    assert [state for _, state in await world.outbox("crm")] == ["done"]


async def test_what_nobody_knows_the_end_of_stays_so_at_the_new_address(world: World):
    """The answer to a try was lost when the address changed: the next try has to look before it tells anything again."""
    world.catalogue = with_targets(LMS, CRM)
    await world.accept(buy("BOOK"), source=AMS)
    [claimed] = await world.claim("crm")
    await world.settle(claimed, TryLater("no answer", applied="unknown", cause="outage"))
    await world.accept(update(MOVED), source=AMS)
    world.now += 3_600_000
    [work] = await world.deliver("crm")
    assert (work.person, work.unknown) == (NEW, True)
    assert [person for person, _ in await world.outbox("crm")] == [NEW]


async def test_what_was_told_of_a_registration_is_known_at_the_new_address(world: World):
    """One of two at an address moves: the contact stays with the other, but no event and no deal is sent once more."""
    world.catalogue = with_targets(LMS, CRM)
    await world.accept(buy("BOOK", who=NAMESAKE), source=AMS)
    await world.accept(buy("BOOK", who=ADA), source=AMS)
    told = {"contact": "512", "deal:2": "81 abc 512", "event:hello:2:book:enrolled": "sent"}
    await world.deliver("crm", Receipt(Refs(person=told)))
    await world.accept(update(MOVED), source=AMS)
    [moved] = await world.deliver("crm")
    assert (moved.person, dict(moved.refs.person)) == (NEW, {kind: told[kind] for kind in told if ":" in kind})
    await world.accept(update(NAMESAKE.model_copy(update={"first_name": "Nan"})), source=AMS)
    [stayed] = await world.deliver("crm")
    assert (stayed.person, dict(stayed.refs.person)) == (OLD, told)


async def test_a_contact_of_somebody_who_moved_away_shows_only_who_is_there(world: World):
    """Work on a shared address that was queued before one of the two moved tells of the other."""
    world.catalogue = with_targets(LMS, CRM)
    await world.accept(buy("BOOK", who=NAMESAKE), source=AMS)
    await world.accept(buy("BOOK", who=ADA), source=AMS)
    await world.accept(update(MOVED), source=AMS)
    sent = {work.person: work for work in await world.deliver("crm")}
    assert {person: work.learner.remote_user_id for person, work in sent.items()} == {OLD: "other", NEW: "ada"}
    assert [len(work.enrollments) for work in sent.values()] == [1, 1]


async def test_waiting_work_of_a_shared_address_goes_with_its_own_learner(world: World):
    """Both wait for the LMS when one of them moves: each contact gets its own registration."""
    world.catalogue = with_targets(LMS, CRM)
    [theirs] = await world.ids(buy("INTRO", who=NAMESAKE), source=AMS)
    [hers] = await world.ids(buy("INTRO", who=ADA), source=AMS)
    await world.accept(update(MOVED), source=AMS)
    await world.deliver("lms")
    sent = {work.person: [found.registration_id for found in work.enrollments] for work in await world.deliver("crm")}
    assert sent == {OLD: [theirs], NEW: [hers]}


async def test_a_changed_name_of_one_of_two_does_not_move_anything(world: World):
    """Only addresses move accounts."""
    world.catalogue = with_targets(SCHOOL)
    await world.accept(buy("WEB"), source=AMS)
    await world.accept(update(ADA.model_copy(update={"first_name": "Augusta"})), source=AMS)
    assert await wanted(world) == {OLD: 1}
