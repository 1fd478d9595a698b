"""Promise 8: within one purchase an older event never undoes a newer state, in whatever order they arrive."""

from __future__ import annotations

from itertools import permutations

import pytest

from bridge.contract.command import Action, Learner, Options
from tests.ledger.rig import ADA, PAY, World, buy, cancel


async def test_an_older_cancellation_does_not_undo_a_newer_purchase(world: World):
    """Paid at 10, a late word of a cancellation at 5."""
    [registration] = await world.ids(buy("INTRO", order="o-1", minute=10))
    reception = await world.accept(cancel(business_key="o-1", minute=5))
    assert await world.state(registration) == "pending"
    assert await world.one("SELECT effect FROM effect WHERE event_id = :id", id=reception.event_id) == "older"


async def test_an_older_purchase_does_not_undo_a_newer_cancellation(world: World):
    """Cancelled at 10, a late repeat of the purchase at 5."""
    [registration] = await world.ids(buy("INTRO", order="o-1", minute=1))
    await world.accept(cancel(business_key="o-1", minute=10))
    assert await world.ids(buy("INTRO", order="o-1", minute=5)) == [registration]
    assert await world.state(registration) == "cancelled"
    assert await world.wanted() == {"id:shop:ada": 0}


async def test_a_newer_purchase_revives_a_cancelled_one(world: World):
    """A dispute won: the same order is live again."""
    [registration] = await world.ids(buy("INTRO", order="o-1", minute=1))
    await world.deliver("lms")
    await world.accept(cancel(business_key="o-1", minute=2))
    await world.deliver("lms")
    assert await world.ids(buy("INTRO", order="o-1", minute=3)) == [registration]
    assert await world.operations("lms") == ["grant"]
    assert await world.state(registration) == "active"


@pytest.mark.parametrize("order", list(permutations(range(3))), ids=lambda order: "".join(map(str, order)))
async def test_the_newest_word_counts_in_whatever_order_they_arrive(world: World, order: tuple[int, ...]):
    """Bought, cancelled, bought again: the learner is in, whichever of the three comes last."""
    story = [
        buy("INTRO", order="o-1", minute=1),
        cancel("INTRO", learner=ADA, business_key="o-1", minute=2),
        buy("INTRO", order="o-1", minute=3),
    ]
    for n in order:
        await world.accept(story[n])
    assert await world.wanted() == {"id:shop:ada": 1}
    await world.deliver("lms")
    assert await world.one("SELECT state FROM registration") == "active"


@pytest.mark.parametrize("order", list(permutations(range(3))), ids=lambda order: "".join(map(str, order)))
async def test_the_newest_cancellation_counts_in_whatever_order_they_arrive(world: World, order: tuple[int, ...]):
    """Cancelled, bought again, cancelled for good: the learner is out, whichever of the three comes last."""
    story = [
        cancel("INTRO", learner=ADA, business_key="o-1", minute=1),
        buy("INTRO", order="o-1", minute=2),
        cancel("INTRO", learner=ADA, business_key="o-1", minute=3),
    ]
    for n in order:
        await world.accept(story[n])
    assert set((await world.wanted()).values()) <= {0}
    assert await world.one("SELECT state FROM registration") == "cancelled"


async def test_of_two_words_of_one_time_the_stronger_counts(world: World):
    """A purchase and its cancellation in the same second: cancelled, in either order."""
    await world.accept(buy("INTRO", order="o-1", minute=1))
    await world.accept(cancel(business_key="o-1", minute=1))
    await world.accept(buy("INTRO", order="o-1", minute=1))
    await world.accept(cancel("INTRO", learner=ADA, business_key="o-2", minute=1))
    await world.accept(buy("INTRO", order="o-2", minute=1))
    assert {row.state for row in await world.rows("SELECT state FROM registration")} == {"cancelled"}


async def test_a_cancellation_that_overtakes_its_purchase_keeps_the_learner_out(world: World):
    """Nothing is known of the order yet; the purchase that arrives later finds itself taken back."""
    reception = await world.accept(cancel("INTRO", learner=ADA, business_key="o-1", minute=5))
    [kept] = reception.lines
    assert (reception.kind, kept.state) == ("accepted", "cancelled")
    later = await world.accept(buy("INTRO", order="o-1", minute=1))
    assert [(found.registration_id, found.state) for found in later.lines] == [(kept.registration_id, "cancelled")]
    assert await world.outbox("lms") == []
    assert set((await world.wanted()).values()) <= {0}


async def test_a_purchase_that_was_overtaken_can_be_resumed(world: World):
    """What it would have given is kept, so that a dispute won lets the learner in."""
    await world.accept(cancel("INTRO", learner=ADA, business_key="o-1", minute=5))
    await world.accept(buy("INTRO", order="o-1", minute=1))
    await world.accept(cancel(action=Action.RESUME, business_key="o-1", minute=9))
    assert await world.operations("lms") == ["grant"]
    assert await world.one("SELECT state FROM registration") == "active"


async def test_a_purchase_that_arrives_after_its_cancellation_and_resumption_enrolls(world: World):
    """All three came in the wrong order; until the purchase is here nothing is given and nothing called active."""
    await world.accept(cancel("INTRO", learner=ADA, business_key="o-1", minute=5))
    await world.accept(cancel(action=Action.RESUME, business_key="o-1", minute=9))
    assert await world.one("SELECT state FROM registration") == "pending"
    await world.accept(buy("INTRO", order="o-1", minute=1))
    assert await world.operations("lms") == ["grant"]
    assert await world.one("SELECT state FROM registration") == "active"


async def test_a_newer_purchase_after_an_overtaking_cancellation_enrolls(world: World):
    """The cancellation was of an earlier try."""
    await world.accept(cancel("INTRO", learner=ADA, business_key="o-1", minute=1))
    await world.accept(buy("INTRO", order="o-1", minute=5))
    assert await world.operations("lms") == ["grant"]
    assert await world.one("SELECT state FROM registration") == "active"


async def test_an_overtaking_cancellation_is_found_by_the_other_road(world: World):
    """Sources that report the same orders share what is known of them."""
    await world.accept(cancel("INTRO", learner=ADA, business_key="o-1", minute=5), source=PAY)
    await world.accept(buy("INTRO", order="o-1", minute=1))
    assert await world.outbox("lms") == []


async def test_an_overtaking_cancellation_of_one_line_leaves_the_others(world: World):
    """The order has two lines; only one was taken back."""
    await world.accept(cancel("ETHICS", learner=ADA, business_key="o-1", minute=5))
    reception = await world.accept(buy("INTRO", "ETHICS", order="o-1", minute=1))
    assert [found.state for found in reception.lines] == ["pending", "cancelled"]


async def test_a_cancellation_without_learner_or_key_of_nothing_known_is_not_found(world: World):
    """There is nothing by which a purchase could ever find it."""
    assert (await world.accept(cancel("INTRO", learner=ADA))).kind == "not_found"
    assert (await world.accept(cancel(registration_id=404))).kind == "not_found"
    assert await world.counts("event", "registration", "quarantine") == {"event": 2, "registration": 0, "quarantine": 0}


async def test_a_suspended_registration_can_be_cancelled_but_not_the_other_way(world: World):
    """Nothing is left to suspend of a cancelled purchase."""
    [registration] = await world.ids(buy("INTRO", order="o-1", minute=1))
    await world.accept(cancel(business_key="o-1", minute=2))
    await world.accept(cancel(action=Action.SUSPEND, business_key="o-1", minute=3))
    assert await world.state(registration) == "cancelled"


async def test_a_sender_without_times_is_taken_at_its_word(world: World):
    """Without a business key the order of the calls counts, whatever their times say."""
    [registration] = await world.ids(buy("INTRO", minute=9))
    await world.accept(cancel("INTRO", learner=ADA, minute=1))
    assert await world.state(registration) == "cancelled"


async def test_a_time_in_the_future_is_the_time_of_receipt(world: World):
    """A sender whose clock is ahead can't make its events win for ever."""
    far = 10_000 + 60 * 24 * 365
    await world.accept(buy("INTRO", order="o-1", minute=far))
    assert await world.one("SELECT occurred_at FROM registration") == world.now


async def test_a_late_wider_repeat_does_not_turn_back_the_clock(world: World):
    """An older event may widen access; the registration is still as new as its newest event."""
    [registration] = await world.ids(buy("INTRO", order="o-1", minute=10))
    await world.accept(buy("INTRO", order="o-1", minute=3, options=Options(full_access=True)))
    await world.accept(cancel(business_key="o-1", minute=5))
    assert await world.state(registration) == "pending"
    assert await world.one('SELECT full_access FROM "grant"') == 1


async def test_a_corrected_address_passes_the_purchase_on(world: World):
    """A shop corrects whose order it is: the new learner gets in, the wrong one gets out; a late old event changes nothing."""
    wrong, right = Learner(email="wrong@example.org"), Learner(email="right@example.org")
    [registration] = await world.ids(buy("INTRO", order="o-1", who=wrong, minute=1))
    await world.deliver("lms")
    assert await world.ids(buy("INTRO", order="o-1", who=right, minute=2)) == [registration]
    sent = await world.deliver("lms")
    assert sorted((work.operation.value, work.person) for work in sent) == [
        ("grant", "email:right@example.org"),
        ("revoke", "email:wrong@example.org"),
    ]
    await world.accept(buy("INTRO", order="o-1", who=wrong, minute=1))
    assert await world.wanted() == {"email:wrong@example.org": 0, "email:right@example.org": 1}


async def test_the_same_learner_under_another_name_is_not_enrolled_twice(world: World):
    """The payment system knows only the address, and may widen access: the purchase stays the learner's it is."""
    await world.accept(buy("INTRO", order="o-1", minute=1))
    nameless = Learner(email="ada@example.org")
    await world.accept(buy("INTRO", order="o-1", who=nameless, minute=2, options=Options(full_access=True)), source=PAY)
    assert await world.wanted() == {"id:shop:ada": 1}
    assert [work.terms.full_access for work in await world.deliver("lms")] == [True]
