"""Notices in the ledger: planned with what they tell of, each once, in whatever order things come."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bridge.app.mailer import ENTRY
from bridge.contract.catalogue import MailerEntry
from bridge.contract.command import Action, Cancellation, Options
from bridge.contract.mail import NoticeKind
from bridge.contract.outbound import Work
from bridge.dispatch.nothing import Nothing
from bridge.dispatch.settle import nothing
from bridge.dispatch.work import compute, forbidden
from bridge.ledger import claims, notices
from bridge.ledger.notices import NoticeRow
from bridge.ledger.unit import Unit
from bridge.notices.mailer import Mailer
from tests.ledger.rig import ADA, AMS, BOB, LMS, OPERATIONS, SCHOOL, World, buy, cancel, update, with_targets

ASKED = Options(send_email=True)
TEXTS = Options(
    cancellation=Cancellation(
        admin_email="boss@example.org", admin_text="For you", notify_learner=True, learner_text="For them"
    )
)


@pytest.fixture(autouse=True)
def with_mailer(world: World) -> None:
    """Let the bridge send notices."""
    found = with_targets(LMS, SCHOOL)
    views = {key: course.view for key, course in found.courses.items()}
    world.catalogue = replace(found, mailer=MailerEntry(("office@example.org",), views))


async def planned(world: World) -> list[tuple[str, str]]:
    rows = await world.rows("SELECT kind, recipient FROM notice ORDER BY id")
    return [(row.kind, row.recipient) for row in rows]


async def works(world: World) -> list[Work | Nothing]:
    """Claim and settle what is due at the mailer; return what it came to."""
    found = []
    for one in await world.claim("mailer"):
        found.append(compute(one, ENTRY, OPERATIONS, world.catalogue))
        lease = [(one.delivery.id, one.delivery.lease)]
        await world.ledger.write(lambda unit, lease=lease: claims.give_back(unit, lease, world.now))
    return found


async def test_a_confirmation_opens_with_the_last_right(world: World):
    """It waits while the LMS has not let the learner in, and then carries courses, address and name."""
    [number] = await world.ids(buy("INTRO", options=ASKED))
    assert await works(world) == []
    await world.deliver("lms")
    [work] = await works(world)
    assert isinstance(work, Work)
    assert work.notice is not None
    assert (work.notice.kind, work.notice.recipient, work.notice.registration_id) == ("access", ADA.email, number)
    assert work.notice.data["courses"] == [{"title": "Introduction", "url": "https://x.example/intro"}]
    assert work.learner.first_name == "Ada"


async def test_what_no_lms_takes_is_confirmed_at_once(world: World):
    """A registration that is active from the start is confirmed from the start."""
    await world.ids(buy("BOOK", options=ASKED))
    assert len(await works(world)) == 1


async def test_a_target_that_mails_leaves_nothing_to_confirm(world: World):
    """One target of the purchase that sends the mail itself is enough."""
    mails = replace(LMS, mails=frozenset({NoticeKind.ACCESS}))
    world.catalogue = replace(world.catalogue, targets={"lms": mails, "school": SCHOOL})
    await world.ids(buy("INTRO", options=ASKED))
    assert await planned(world) == []


@pytest.mark.parametrize("order", [None, "o-1"])
async def test_a_repeat_confirms_nothing(world: World, order: str | None):
    """The same purchase again, with or without a key of its own, is one confirmation."""
    for minute in (0, 1):
        await world.ids(buy("INTRO", order=order, minute=minute, options=ASKED))
    await world.deliver("lms")
    assert len(await works(world)) == 1


async def test_a_purchase_that_lives_again_is_confirmed_again(world: World):
    """Bought, cancelled and bought again are two confirmations, of two events."""
    for minute in (0, 4):
        await world.ids(buy("INTRO", order="o-1", minute=minute, options=ASKED))
        await world.deliver("lms")
        await world.accept(cancel("INTRO", business_key="o-1", minute=minute + 1))
    assert await planned(world) == [("access", ""), ("access", "")]


async def test_a_purchase_paid_later_is_confirmed_once_paid(world: World):
    """Nothing is confirmed while it is unpaid; the resumption confirms it, and a second one does not."""
    await world.ids(buy("INTRO", order="o-1", paid=False, options=ASKED))
    assert await planned(world) == []
    await world.accept(cancel(action=Action.RESUME, business_key="o-1", minute=1))
    assert await planned(world) == [("access", "")]
    await world.deliver("lms")
    assert len(await works(world)) == 1
    await world.accept(cancel(action=Action.SUSPEND, business_key="o-1", minute=2))
    await world.accept(cancel(action=Action.RESUME, business_key="o-1", minute=3))
    assert await planned(world) == [("access", "")]


async def test_a_cancellation_is_told_once_to_each(world: World):
    """The user, whom the sender names, and the operator's administrators; a repeat tells nobody."""
    [number] = await world.ids(buy("INTRO"), source=AMS)
    for minute in (1, 2):
        await world.accept(cancel(registration_id=number, minute=minute, options=TEXTS), source=AMS)
    assert sorted(await planned(world)) == [
        ("cancelled_admin", "boss@example.org"),
        ("cancelled_admin", "office@example.org"),
        ("cancelled_user", ""),
    ]
    texts = {work.notice.recipient: work.notice.data["explanation"] for work in await works(world)}
    assert texts == {"boss@example.org": "For you", "office@example.org": "For you", ADA.email: "For them"}


async def test_a_confirmation_of_what_was_cancelled_comes_to_nothing(world: World):
    """It opened, the mail server was slow, and access was taken away meanwhile."""
    [number] = await world.ids(buy("INTRO", options=ASKED), source=AMS)
    await world.deliver("lms")
    await world.accept(cancel(registration_id=number), source=AMS)
    await world.deliver("lms")
    assert [type(work) for work in await works(world)] == [Nothing]


async def test_the_address_is_the_one_of_the_day(world: World):
    """A changed address between the plan and the mail is the one written to."""
    await world.ids(buy("BOOK", options=ASKED))
    await world.accept(update(ADA.model_copy(update={"email": "countess@example.org"})))
    [work] = await works(world)
    assert work.notice.recipient == "countess@example.org"


async def test_a_notice_is_planned_once_and_never_merged(world: World):
    """The same cause is one notice, another cause another, and each has a delivery of its own."""
    [number] = await world.ids(buy("BOOK"))

    def plan(unit: Unit, *causes: str) -> list[int]:
        rows = [NoticeRow("seats", number, None, "buyer@example.org", {"links": []}, cause) for cause in causes]
        return notices.plan(unit, rows, world.now)

    first = await world.ledger.write(lambda unit: plan(unit, "a", "b", "a"))
    again = await world.ledger.write(lambda unit: plan(unit, "b", "c"))
    assert (len(first), len(again)) == (2, 1)
    assert await world.outbox("mailer") == [(f"notice:{n}", "open") for n in (*first, *again)]


async def test_mails_to_one_address_go_out_side_by_side(world: World):
    """No notice waits for another one of the same person."""
    [number] = await world.ids(buy("BOOK"))
    rows = [NoticeRow("seats", number, None, "buyer@example.org", {"links": []}, str(n)) for n in range(5)]
    await world.ledger.write(lambda unit: notices.plan(unit, rows, world.now))
    assert len(await world.claim("mailer")) == 5


async def test_old_notices_are_emptied_once_they_are_settled(world: World):
    """What a notice said and to whom goes with the event; an open one stays whole."""
    [number] = await world.ids(buy("BOOK"))
    rows = [NoticeRow("seats", number, None, f"{n}@example.org", {"links": [n]}, "x") for n in range(3)]
    ids = await world.ledger.write(lambda unit: notices.plan(unit, rows, world.now))
    await world.ledger.write(
        lambda unit: unit.run("UPDATE delivery SET state = 'done' WHERE key <> :key", key=f"notice:{ids[0]}")
    )
    assert await world.ledger.write(lambda unit: notices.empty(unit, world.now + 1, 100)) == 2
    assert await world.ledger.write(lambda unit: notices.empty(unit, world.now + 1, 100)) == 0
    found = await world.rows("SELECT recipient, data FROM notice ORDER BY id")
    assert (found[0].recipient, found[0].data) == ("0@example.org", '{"links":[0]}')
    assert [(row.recipient, row.data) for row in found[1:]] == [(f"emptied:{i}", "{}") for i in ids[1:]]


async def test_a_mail_that_was_in_flight_when_the_bridge_died_is_not_sent_again(world: World):
    """Its lease ends, nobody knows whether it went out, and only an operator repeats it."""
    await world.ids(buy("BOOK", options=ASKED))
    assert len(await world.claim("mailer")) == 1
    assert await world.ledger.write(lambda unit: claims.return_all(unit, world.now)) == 1
    [claimed] = await world.claim("mailer")
    work = compute(claimed, ENTRY, OPERATIONS, world.catalogue)
    assert isinstance(work, Work)
    assert forbidden(claimed, work, Mailer.operations) is not None


async def test_a_target_that_hears_of_nothing_can_not_tell_it(world: World):
    """Where a mailing LMS has the course already, or never had it, the bridge tells what the target is not asked to."""
    mails = replace(LMS, mails=frozenset(NoticeKind))
    world.catalogue = replace(world.catalogue, targets={"lms": mails, "school": SCHOOL})
    await world.ids(buy("INTRO", order="o-1", options=ASKED))
    await world.deliver("lms")
    assert await planned(world) == []
    await world.ids(buy("INTRO", order="o-2", options=ASKED))  # the LMS holds it, and is not told again
    assert await planned(world) == [("access", "")]
    await world.accept(cancel(business_key="o-1", options=TEXTS))  # the other order keeps it
    assert len(await planned(world)) == 4
    await world.accept(cancel(business_key="o-2", minute=2, options=TEXTS))  # taken away at the LMS, which tells it
    assert len(await planned(world)) == 4
    [number] = await world.ids(buy("ETHICS"), source=AMS)  # not in yet when it is cancelled
    await world.accept(cancel(registration_id=number, options=TEXTS), source=AMS)
    assert len(await planned(world)) == 7


async def test_what_is_forgotten_is_not_sent(world: World):
    """Open notices of a forgotten purchase end unsent, and nothing of what they said stays; twice is as good as once."""
    [number] = await world.ids(buy("BOOK"))
    rows = [NoticeRow("seats", number, None, "buyer@example.org", {"links": ["x"]}, "a")]
    await world.ledger.write(lambda unit: notices.plan(unit, rows, world.now))
    assert await world.ledger.write(lambda unit: notices.forget(unit, [number], world.now)) == 1
    assert await world.ledger.write(lambda unit: notices.forget(unit, [number], world.now)) == 0
    [row] = await world.rows("SELECT recipient, data FROM notice")
    assert (row.recipient.startswith("emptied:"), row.data) == (True, "{}")
    assert await works(world) == []


@pytest.mark.parametrize("opened", [False, True], ids=["while it waits", "once it is open"])
async def test_a_purchase_that_passes_to_another_learner_is_confirmed_to_that_one(world: World, opened: bool):
    """Whoever stood there by a mistyped address is not told of access that is not theirs."""
    await world.ids(buy("INTRO", order="o-1", options=ASKED))
    if opened:
        await world.deliver("lms")
    await world.ids(buy("INTRO", who=BOB, order="o-1", minute=2, options=ASKED))
    await world.deliver("lms")
    found = [work for work in await works(world) if isinstance(work, Work)]
    assert [(work.notice.recipient, work.learner.first_name) for work in found] == [("bob@example.org", "Bob")]


@pytest.mark.parametrize("claimed", [False, True], ids=["not looked at", "found without access"])
@pytest.mark.parametrize("how", ["resumed", "told again"])
async def test_access_that_begins_anew_before_its_mail_went_out_is_confirmed_once(
    world: World, how: str, claimed: bool
):
    """The mail server was away, and when it came back there was no access for a while: the confirmation waits for it."""
    [number] = await world.ids(buy("INTRO", order="o-1", options=ASKED))
    await world.deliver("lms")
    await world.accept(cancel(action=Action.SUSPEND, business_key="o-1", minute=2))
    if claimed:
        assert await given_up(world) == 1
    if how == "told again":
        usual = world.catalogue
        wider = {**usual.products, ("shop", "INTRO"): usual.products["shop", "BUNDLE"]}
        world.catalogue = replace(usual, products=wider, digest="second")
        await world.accept(buy("INTRO", order="o-1", minute=3, options=ASKED))
        assert await works(world) == [], "one of two courses is not open yet"
    await world.accept(cancel(action=Action.RESUME, business_key="o-1", minute=4))
    await world.deliver("lms")
    assert await world.state(number) == "active"
    found = await works(world)
    assert [work.notice.recipient for work in found if isinstance(work, Work)] == [ADA.email]
    assert len(found) == 1


async def given_up(world: World) -> int:
    """Settle what is due at the mailer and comes to nothing; return how many."""
    found = [(one, compute(one, ENTRY, OPERATIONS, world.catalogue)) for one in await world.claim("mailer")]
    for one, work in found:
        assert isinstance(work, Nothing)
        await world.ledger.submit(claims.settle, nothing(one, work, at=world.now))
    return len(found)
