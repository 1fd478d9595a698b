"""What takes effect later: suspended after a grace, ended with the period that is paid, lifted by a newer word."""

from __future__ import annotations

import asyncio
from itertools import permutations

import pytest
from sqlalchemy import text

from bridge.actions import Actions
from bridge.contract.command import Action, EnrollmentCommand, Learner, Options, Order
from bridge.contract.outbound import Refused
from bridge.intake import due
from bridge.kit.clock import SetClock, milliseconds
from tests.ledger.rig import BOB, CRM, LMS, PAY, World, at, buy, cancel, refund, with_targets
from tests.ledger.test_replay import once_more

DAY = 1440  # minutes; the world's present is minute 10 000, nearly day 7
SUB = Order(subscription_id="sub-1")


def fails(minute: float, grace: float = 10 * DAY, **more) -> EnrollmentCommand:
    """A payment of the subscription that failed."""
    said = {"order": SUB, **more}
    return cancel(action=Action.SUSPEND, minute=minute, effective_at=at(minute + grace), **said)


def paid(number: int, minute: float, until: float | None = None) -> EnrollmentCommand:
    """One paid period of the subscription."""
    options = Options(expires_at=at(until)) if until is not None else Options()
    command = buy("INTRO", order=f"period-{number}", minute=minute, options=options)
    return command.model_copy(update={"order": SUB})


async def pass_to(world: World, minute: float) -> int:
    """Let the timed job run at that minute."""
    now = milliseconds(at(minute))
    world.now = max(world.now, now)
    return await world.ledger.write(lambda unit: due.take_effect(unit, world.catalogue, now, 200))


async def effects(world: World, registration: int) -> list[str]:
    rows = await world.rows("SELECT effect FROM effect WHERE registration_id = :id ORDER BY event_id", id=registration)
    return [row.effect for row in rows]


async def test_a_failed_payment_suspends_after_its_grace_and_not_before(world: World):
    """Until then the learner is in, and the ledger says what is to come."""
    [registration] = await world.ids(paid(1, 0))
    await world.deliver("lms")
    await world.accept(fails(DAY))
    assert await world.operations("lms") == []
    assert await effects(world, registration) == ["created", "scheduled"]
    assert await pass_to(world, 11 * DAY - 1) == 0
    assert await world.state(registration) == "active"
    assert await pass_to(world, 11 * DAY) == 1
    assert await world.operations("lms") == ["revoke"]
    assert await world.state(registration) == "suspended"
    assert await effects(world, registration) == ["created", "suspended"]
    assert await pass_to(world, 11 * DAY) == 0


async def test_paid_before_the_grace_is_over_nothing_happens(world: World):
    """The next period is a registration of its own, and what was to come of the first one is lifted."""
    [first] = await world.ids(paid(1, 0))
    await world.accept(fails(DAY))
    await world.ids(paid(2, 2 * DAY))
    assert await effects(world, first) == ["created", "lifted"]
    assert await pass_to(world, 30 * DAY) == 0
    assert await world.wanted() == {"id:shop:ada": 1}


@pytest.mark.parametrize("order", list(permutations(range(3))), ids=lambda order: "".join(map(str, order)))
async def test_a_payment_that_came_after_the_failure_counts_in_whatever_order_they_arrive(
    world: World, order: tuple[int, ...]
):
    """Bought, failed, paid: nobody who paid is shut out when the grace is over."""
    story = [paid(1, 0), fails(DAY), paid(2, 2 * DAY)]
    for n in order:
        await world.accept(story[n])
    await pass_to(world, 30 * DAY)
    assert await world.wanted() == {"id:shop:ada": 1}
    assert [row.intent for row in await world.rows("SELECT intent FROM registration")] == ["live", "live"]


async def test_a_payment_that_fails_again_does_not_lengthen_the_grace(world: World):
    """It counts from the first failure."""
    [registration] = await world.ids(paid(1, 0))
    await world.accept(fails(DAY))
    await world.accept(fails(3 * DAY))
    assert await effects(world, registration) == ["created", "scheduled", "noted"]
    assert await pass_to(world, 11 * DAY) == 1
    assert await world.state(registration) == "suspended"


async def test_a_payment_of_another_subscription_lifts_nothing(world: World):
    """Nor one of the same name at another source."""
    [first] = await world.ids(paid(1, 0))
    await world.accept(fails(DAY))
    other = buy("INTRO", order="x", who=BOB, minute=2 * DAY).model_copy(
        update={"order": Order(subscription_id="sub-2")}
    )
    await world.ids(other)
    same = buy("ETHICS", order="y", who=BOB, minute=2 * DAY).model_copy(update={"order": SUB})
    await world.ids(same, source=PAY)
    assert await pass_to(world, 11 * DAY) == 1
    assert await world.state(first) == "suspended"


async def test_a_payment_that_is_known_by_the_registration_itself_lifts_and_resumes(world: World):
    """At senders that keep one purchase for the whole subscription, before the grace is over and after it."""
    pays = {"action": Action.RESUME, "business_key": "period-1", "continues": True}
    [registration] = await world.ids(paid(1, 0))
    await world.accept(fails(DAY))
    await world.accept(cancel(minute=2 * DAY, **pays))
    assert await pass_to(world, 30 * DAY) == 0
    await world.accept(fails(3 * DAY))
    assert await pass_to(world, 30 * DAY) == 1
    await world.accept(cancel(minute=4 * DAY, **pays))
    await world.deliver("lms")
    assert await world.state(registration) == "active"


async def test_a_dispute_that_was_won_lifts_no_failed_payment(world: World):
    """It says nothing of the payment that is missing, whether the dispute began before or after it."""
    [registration] = await world.ids(paid(1, 0))
    await world.accept(fails(2 * DAY))
    await world.accept(cancel(action=Action.SUSPEND, business_key="period-1", minute=3 * DAY))
    await world.accept(cancel(action=Action.RESUME, business_key="period-1", minute=4 * DAY))
    assert await world.state(registration) == "pending"
    assert await pass_to(world, 12 * DAY) == 1
    assert await world.state(registration) == "suspended"


async def test_a_failure_while_a_dispute_suspends_does_not_outlast_it(world: World):
    """It is noted; the end of the dispute counts, although it is older than the failure."""
    [registration] = await world.ids(paid(1, 0))
    await world.accept(cancel(action=Action.SUSPEND, business_key="period-1", minute=1))
    await world.accept(fails(3 * DAY))
    assert await effects(world, registration) == ["created", "suspended", "noted"]
    await world.accept(cancel(action=Action.RESUME, business_key="period-1", minute=2 * DAY))
    assert await world.state(registration) == "pending"


async def test_a_late_failure_whose_grace_is_over_suspends_at_once(world: World):
    """The event lay at the sender for longer than the grace."""
    [registration] = await world.ids(paid(1, 0))
    await world.accept(fails(60, grace=60))
    assert await world.state(registration) == "suspended"


async def test_a_failure_without_a_purchase_is_kept_nowhere(world: World):
    """The first payment of a subscription failed: nothing was bought, and nothing waits for it."""
    assert (await world.accept(fails(DAY))).kind == "not_found"
    assert await world.one("SELECT count(*) FROM quarantine") == 0


async def test_a_cancelled_subscription_lasts_as_long_as_it_is_paid(world: World):
    """The purchase has said until when; then it is cancelled, and not before."""
    [registration] = await world.ids(paid(1, 0, until=20 * DAY))
    await world.deliver("lms")
    await world.accept(cancel(order=SUB, at_period_end=True, minute=DAY))
    assert await pass_to(world, 20 * DAY - 1) == 0
    assert await world.state(registration) == "active"
    assert await pass_to(world, 20 * DAY) == 1
    await world.deliver("lms")
    assert await world.state(registration) == "cancelled"
    assert await effects(world, registration) == ["created", "ended"]


async def test_a_cancelled_subscription_whose_period_nobody_knows_ends_at_once(world: World):
    """As there is nothing to wait for."""
    [registration] = await world.ids(paid(1, 0))
    await world.accept(cancel(order=SUB, at_period_end=True, minute=DAY))
    assert await world.state(registration) == "cancelled"


async def test_a_newer_word_moves_the_end_of_a_cancelled_subscription(world: World):
    """An older one does not."""
    [registration] = await world.ids(paid(1, 0))
    await world.accept(cancel(order=SUB, effective_at=at(20 * DAY), minute=2))
    await world.accept(cancel(order=SUB, effective_at=at(30 * DAY), minute=1))
    assert await pass_to(world, 20 * DAY - 1) == 0
    await world.accept(cancel(order=SUB, effective_at=at(25 * DAY), minute=3))
    assert await pass_to(world, 25 * DAY - 1) == 0
    assert await pass_to(world, 25 * DAY) == 1
    assert await world.state(registration) == "cancelled"


async def test_a_refund_does_not_wait_for_the_end_of_the_period(world: World):
    """The money is back; and when the period ends, nothing is left to end."""
    [registration] = await world.ids(paid(1, 0, until=20 * DAY))
    await world.accept(cancel(order=SUB, at_period_end=True, minute=1))
    await world.accept(refund(business_key="period-1", minute=2))
    assert await world.state(registration) == "cancelled"
    await pass_to(world, 20 * DAY)
    assert await effects(world, registration) == ["created", "older", "refunded"]


async def test_a_subscription_that_goes_on_after_all_does_not_end(world: World):
    """Re-activated before its period was over."""
    [registration] = await world.ids(paid(1, 0, until=20 * DAY))
    await world.accept(cancel(order=SUB, at_period_end=True, minute=1))
    await world.accept(cancel(action=Action.RESUME, order=SUB, minute=2))
    assert await pass_to(world, 20 * DAY) == 0
    assert await effects(world, registration) == ["created", "lifted", "confirmed"]


async def test_a_clock_that_jumps_back_repeats_and_forgets_nothing(world: World):
    """What took effect stays so; what lies ahead waits for its day."""
    [registration] = await world.ids(paid(1, 0))
    await world.accept(fails(DAY))
    assert await pass_to(world, 11 * DAY) == 1
    assert await pass_to(world, 10 * DAY) == 0
    assert await pass_to(world, 11 * DAY) == 0
    assert await world.one("SELECT intent FROM registration WHERE id = :id", id=registration) == "suspended"


async def test_a_crash_between_taking_and_writing_changes_nothing(world: World):
    """Both are one transaction: the next run finds what lay ahead."""
    await world.ids(paid(1, 0))
    await world.accept(fails(DAY))

    def crash(unit) -> None:
        due.take_effect(unit, world.catalogue, milliseconds(at(11 * DAY)), 200)
        raise RuntimeError

    with pytest.raises(Exception, match="did not take"):
        await world.ledger.write(crash)
    assert await world.one("SELECT intent FROM registration") == "live"
    assert await pass_to(world, 11 * DAY) == 1
    assert await world.one("SELECT intent FROM registration") == "suspended"


async def test_what_is_due_is_found_by_an_index(world: World):
    """However much lies ahead, the job reads what is due."""
    if world.ledger.shared:
        pytest.skip("an empty table of PostgreSQL's is always read whole")
    statement = (
        "EXPLAIN QUERY PLAN SELECT s.* FROM scheduled_change s WHERE s.at <= 1 ORDER BY s.at, s.registration_id LIMIT 5"
    )
    plan = await world.ledger.read(lambda connection: connection.execute(text(statement)).all())
    assert any("ix_scheduled_change_at" in str(row) for row in plan)


async def test_of_two_bridges_one_brings_it_to_effect_and_a_payment_meanwhile_counts(pair: tuple[World, World]):
    """Both run the job while the payments come in: whoever paid is in, suspended for a moment or not at all."""
    people = [Learner(remote_user_id=f"p{n}", email=f"p{n}@example.org") for n in range(12)]
    for n, who in enumerate(people):
        await pair[0].ids(buy("INTRO", order=f"o-{n}", who=who))
        about = {"business_key": f"o-{n}"}
        await pair[0].accept(cancel(action=Action.SUSPEND, minute=DAY, effective_at=at(11 * DAY), **about))
    pays = [
        pair[n % 2].accept(cancel(action=Action.RESUME, minute=2 * DAY, business_key=f"o-{n}", continues=True))
        for n in range(0, 12, 2)
    ]
    counts = await asyncio.gather(*(pass_to(world, 11 * DAY) for world in pair), *pays)
    assert counts[0] <= 12
    await pass_to(pair[1], 11 * DAY)
    assert await pair[0].wanted() == {f"id:shop:p{n}": int(n % 2 == 0) for n in range(12)}
    assert await pair[0].one("SELECT count(*) FROM scheduled_change") == 0


async def test_a_dismissed_dead_letter_counts_as_what_was_wanted(world: World):
    """Wanted it is held, not wanted it is not; and the work of the CRM that waited for it opens."""
    world.catalogue = with_targets(LMS, CRM)
    [registration] = await world.ids(buy("INTRO", order="o-1"))
    actions = Actions(world.ledger, lambda: world.catalogue, SetClock(at(10_001)))
    for state, held in (("active", "yes"), ("cancelled", "no")):
        await world.deliver("lms", Refused("no", "mend it"))
        assert await world.state(registration) == "failed"
        letter = await world.one("SELECT id FROM delivery WHERE state = 'dead'")
        assert ("email:ada@example.org", "waiting") in await world.outbox("crm")
        await actions.act("dismiss", {"ids": [letter], "why": "by hand"}, "ada")
        assert await actions.act("dismiss", {"ids": [letter], "why": "by hand"}, "ada") == []
        assert await world.state(registration) == state
        assert await world.one('SELECT held FROM "right"') == held
        assert ("email:ada@example.org", "open") in await world.outbox("crm")
        world.now += 60_000
        await world.accept(cancel(business_key="o-1", minute=5))


async def test_a_failure_that_is_replayed_changes_nothing(world: World):
    """Neither while it lies ahead nor once it was lifted or has taken effect."""
    [first] = await world.ids(paid(1, 0))
    reception = await world.accept(fails(DAY))

    async def replayed() -> list[str]:
        told = await once_more(world, fails(DAY), event_id=reception.event_id, dry_run=False)
        assert told.became == "unchanged"
        return await effects(world, first)

    assert await replayed() == ["created", "scheduled"]
    await world.ids(paid(2, 2 * DAY))
    assert await replayed() == ["created", "lifted"]
    await pass_to(world, 30 * DAY)
    assert await world.state(first) == "pending"


HOLDS = [
    cancel(action=Action.SUSPEND, business_key="o-1", minute=1),
    refund(business_key="o-1", minute=2),
    cancel(action=Action.RESUME, business_key="o-1", minute=3),
]


@pytest.mark.parametrize("order", list(permutations(range(3))), ids=lambda order: "".join(map(str, order)))
async def test_a_refund_beats_the_end_of_a_dispute_in_whatever_order_they_arrive(world: World, order: tuple[int, ...]):
    """Many a dispute is closed in the seller's favour because the money was returned meanwhile."""
    [registration] = await world.ids(buy("INTRO", order="o-1"))
    for n in order:
        await world.accept(HOLDS[n])
    assert await world.one("SELECT intent FROM registration WHERE id = :id", id=registration) == "cancelled"
    # A refund that failed brings it back in the end.
    await world.accept(cancel(action=Action.RESUME, business_key="o-1", minute=4, undoes="refunds"))
    assert await world.one("SELECT intent FROM registration WHERE id = :id", id=registration) == "live"


WORDS = {
    "purchase": buy("INTRO", order="o-1"),
    "hold": HOLDS[0],
    "again": cancel(action=Action.SUSPEND, business_key="o-1", minute=2.5),
    "refund": HOLDS[1],
    "end": HOLDS[2],
}


@pytest.mark.parametrize(
    "arrivals",
    [
        "hold end purchase refund",
        "end hold purchase refund",
        "end purchase hold refund",
        "purchase hold again refund end",
        "hold purchase again refund end",
        "hold end again purchase refund",
    ],
)
async def test_so_it_does_where_the_dispute_is_told_twice_or_overtook_the_purchase(world: World, arrivals: str):
    """What has waited for its purchase was kept before it, and is the newer word all the same."""
    for word in arrivals.split():
        await world.accept(WORDS[word])
    assert await world.one("SELECT intent FROM registration WHERE business_key = 'o-1'") == "cancelled"


async def test_a_late_refund_does_not_undo_a_purchase_that_is_newer(world: World):
    """Paid again since: that is no end of a hold."""
    [registration] = await world.ids(buy("INTRO", order="o-1"))
    await world.accept(cancel(business_key="o-1", minute=1))
    await world.accept(buy("INTRO", order="o-1", minute=5))
    await world.accept(refund(business_key="o-1", minute=2))
    assert await world.one("SELECT intent FROM registration WHERE id = :id", id=registration) == "live"
