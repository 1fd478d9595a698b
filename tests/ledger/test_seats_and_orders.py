"""What becomes of seats with an order whose own time is over, and by words that are not about them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from bridge.contract.catalogue import MailerEntry
from bridge.contract.command import Action, EnrollmentCommand, Options, Order, Progress, ProgressKind
from bridge.jobs.expiry import expire
from bridge.kit.clock import milliseconds
from tests.ledger.rig import World, at, buy, cancel, mapping, refund, request
from tests.ledger.test_notices import TEXTS
from tests.ledger.test_seats import EVE, EVERYWHERE, JOE, bought, claim, codes, revise, seats_of, several

YEAR = 365 * 24 * 60  # minutes


async def over(world: World) -> tuple[int, str, str]:
    """Sell three, let one be claimed late, and let the first learner's year pass."""
    registration = await bought(world, 3, "YEAR", order="o1")
    first, second = await codes(world, registration)
    world.now = milliseconds(at(0) + timedelta(days=300))
    await claim(world, first)
    world.now = milliseconds(at(YEAR + 1))
    await ended(world)
    assert await world.wanted() == {"id:shop:ada": 0, EVERYWHERE: 1}
    return registration, first, second


async def then(world: World, command: EnrollmentCommand) -> None:
    """Take a command in on the day on which it says that it happened."""
    await world.accept(command, event=request(received_at=at(YEAR + 5)))


async def ended(world: World) -> None:
    await world.ledger.write(lambda unit: expire(unit, world.catalogue, world.now))


async def test_a_suspension_reaches_the_seats_of_an_order_whose_own_time_is_over(world: World):
    """Claimed access and open links wait with the dispute, and come back with it."""
    registration, _, second = await over(world)
    await then(world, cancel(action=Action.SUSPEND, business_key="o1", minute=YEAR + 2))
    assert await world.wanted() == {"id:shop:ada": 0, EVERYWHERE: 0}
    assert await world.state(registration) == "expired"
    assert (await claim(world, second, JOE)).became == "held"
    await then(world, cancel(action=Action.RESUME, business_key="o1", minute=YEAR + 1.5))
    assert (await claim(world, second, JOE)).became == "held", "an older word undoes nothing"
    await then(world, cancel(action=Action.RESUME, business_key="o1", minute=YEAR + 3))
    await ended(world)
    assert await world.wanted() == {"id:shop:ada": 0, EVERYWHERE: 1}
    assert (await claim(world, second, JOE)).became == "claimed"


async def test_a_refund_ends_what_a_suspension_held(world: World):
    """The dispute is lost: nobody is in by the order, and no link of it opens anything."""
    _, first, second = await over(world)
    await then(world, cancel(action=Action.SUSPEND, business_key="o1", minute=YEAR + 2))
    await then(world, refund(business_key="o1", minute=YEAR + 3))
    assert set((await world.wanted()).values()) == {0}
    assert [(await claim(world, code, JOE)).became for code in (first, second)] == ["revoked", "revoked"]


async def test_an_operator_can_revoke_a_link_that_is_held(world: World):
    """It does not come back when the order is resumed, and no new link is made meanwhile."""
    registration, _, second = await over(world)
    await then(world, cancel(action=Action.SUSPEND, business_key="o1", minute=YEAR + 2))
    (refused,) = await revise(world, registration, numbers=[2], renew=True)
    assert (refused["became"], refused["note"]) == ("unchanged", "its order is suspended")
    (done,) = await revise(world, registration, every_open=True)
    assert done["became"] == "revoked"
    await then(world, cancel(action=Action.RESUME, business_key="o1", minute=YEAR + 3))
    assert (await seats_of(world, registration))[1] == (2, "revoked", "operator")
    assert (await claim(world, second, JOE)).became == "revoked"


async def test_a_link_revoked_by_an_operator_is_not_said_to_be_on_hold(world: World):
    """While the order is suspended, too."""
    registration = await bought(world, 2, order="o1")
    (code,) = await codes(world, registration)
    await revise(world, registration, every_open=True)
    await world.accept(cancel(action=Action.SUSPEND, business_key="o1", minute=1))
    assert (await claim(world, code)).became == "revoked"


async def test_what_is_cancelled_for_a_person_is_what_that_person_bought(world: World):
    """The sender knows nothing of who claimed a seat that somebody else pays for; how far they are is told all the same."""
    registration = await bought(world, 2, order="o1")
    claimed = await claim(world, (await codes(world, registration))[0])
    [own] = await world.ids(buy("INTRO", who=EVE, minute=1))
    await world.accept(cancel("INTRO", learner=EVE, minute=5))
    assert await world.wanted() == {"id:shop:ada": 1, EVERYWHERE: 1}
    assert await world.state(own) == "cancelled"
    reception = await world.accept(cancel("INTRO", learner=EVE, minute=6))
    assert reception.kind == "not_found"
    done = Progress(kind=ProgressKind.COMPLETED, percent=100)
    reception = await world.accept(cancel("INTRO", action=Action.PROGRESS, learner=EVE, minute=7, progress=done))
    assert [line.registration_id for line in reception.lines] == [claimed.registration_id]


async def test_the_office_is_told_once_of_an_order_and_each_learner_of_their_own(world: World):
    """Three people lose access by one cancellation with texts; a target is given the office's text for the order alone."""
    found = mapping()
    views = {key: course.view for key, course in found.courses.items()}
    world.catalogue = replace(found, mailer=MailerEntry(("office@example.org",), views))
    registration = await bought(world, 3, order="o1")
    for code, who in zip(await codes(world, registration), (EVE, JOE), strict=True):
        await claim(world, code, who)
    await world.accept(cancel(business_key="o1", options=TEXTS, minute=3))
    kept = await world.rows("SELECT kind, recipient FROM notice ORDER BY kind, recipient")
    assert [tuple(row) for row in kept] == [
        ("cancelled_admin", "boss@example.org"),
        ("cancelled_admin", "office@example.org"),
        *[("cancelled_user", "")] * 3,
    ]
    options = [
        Options.model_validate_json(row.options)
        for row in await world.rows("SELECT options FROM registration ORDER BY id")
    ]
    assert [one.cancellation.admin_text for one in options] == ["For you", None, None]
    assert [one.cancellation.learner_text for one in options] == ["For them"] * 3


async def test_an_operator_takes_a_seat_back_in_every_period_of_its_subscription(world: World):
    """Whoever loses it is out at once, and neither the next period nor others who claimed have anything to do with it."""

    def month(n: int) -> EnrollmentCommand:
        bought_then = buy(several("INTRO", 3), minute=10 * n, order=f"period-{n}")
        return bought_then.model_copy(update={"order": Order(subscription_id="sub-1")})

    [first] = await world.ids(month(0))
    for code, who in zip(await codes(world, first), (EVE, JOE), strict=True):
        await claim(world, code, who)
    [second] = await world.ids(month(1))
    await revise(world, second, numbers=[1])
    left = {"id:shop:ada": 1, EVERYWHERE: 0, "email:joe@example.org": 1}
    assert await world.wanted() == left
    assert await seats_of(world, first) == [(1, "revoked", "operator"), (2, "claimed", "")]
    await world.ids(month(2))
    assert await world.wanted() == left
