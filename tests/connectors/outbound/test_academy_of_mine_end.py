"""The end of access at Academy of Mine: set, moved, passed and bought again; and what an update leaves as it is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import aiohttp
import pytest

from bridge.contract.outbound import NeedsOperator, Operation, Refs, Terms, TryLater
from connectors.sandbox.academy_of_mine import AcademyOfMine
from tests.connectors.outbound.academy_of_mine_rig import receipt, rig_for
from tests.suites.outbound import ADA, Rig

END = datetime(2031, 10, 3, 23, 59, 59, tzinfo=UTC)
LATER = Terms(expires_at=END)


@pytest.fixture
async def school():
    async with AcademyOfMine() as emulator:
        yield emulator


@pytest.fixture
async def session():
    async with aiohttp.ClientSession() as opened:
        yield opened


@pytest.fixture
def rig(school, session) -> Rig:
    return rig_for(school, session)


async def test_the_end_of_access_is_set_and_moved(school, rig) -> None:
    """Set Expiry, in UTC; without an end the course's own rule stands."""
    granted = receipt(await rig.do(Operation.GRANT, terms=LATER))
    assert school.journal[-1].path.endswith("/courses/42/set-expiry")
    assert school.journal[-1].json == {"enrollmentIds": [9001], "expiryDate": "2031-10-03 23:59:59"}
    more = Terms(expires_at=END + timedelta(days=1))
    receipt(await rig.do(Operation.UPDATE, refs=granted.refs, terms=more))
    assert school.enrollments[9001].expires == END + timedelta(days=1)


async def test_of_several_enrollments_the_one_that_gives_access_counts(school, rig) -> None:
    """Neither an expired nor a revoked one beside it needs anything, and a cancellation leaves none."""
    ada = school.add_user(str(ADA.email))
    expired, revoked, good = (school.add_enrollment(ada, 42) for _ in range(3))
    expired.expires, revoked.allowed = datetime(2020, 1, 1, tzinfo=UTC), False
    assert receipt(await rig.do(Operation.GRANT)).refs.right == {"enrollment": str(good.id)}
    receipt(await rig.do(Operation.REVOKE))
    assert rig.live() == []
    assert school.journal[-1].json == {"enrollmentIds": [expired.id, good.id]}


async def test_a_purchase_after_expiry_extends_or_asks(school, rig) -> None:
    """An expired enrollment gives nobody access, so it is no receipt."""
    row = school.add_enrollment(school.add_user(str(ADA.email)), 42)
    row.expires = datetime(2020, 1, 1, tzinfo=UTC)
    assert isinstance(await rig.do(Operation.GRANT), NeedsOperator)
    receipt(await rig.do(Operation.GRANT, terms=LATER))
    assert rig.live() == [("ada.lovelace@example.org", "course:42")]


@pytest.mark.parametrize(("setting", "percent"), [("keep", 80), ("reset", 0)])
async def test_a_purchase_after_expiry_keeps_or_resets_the_progress(school, session, setting, percent) -> None:
    """``after_expiry``; reset before access is given again, so that nothing new can be lost."""
    rig = rig_for(school, session, after_expiry=setting)
    row = school.add_enrollment(school.add_user(str(ADA.email)), 42)
    row.expires, row.percent, row.allowed = datetime(2020, 1, 1, tzinfo=UTC), 80, False
    granted = receipt(await rig.do(Operation.GRANT, terms=LATER))
    assert (row.percent, row.allowed, row.expires) == (percent, True, END)
    changes = [seen.path.rpartition("/")[2] for seen in school.journal if seen.method == "POST"]
    first = ["reset-progress"] if setting == "reset" else []
    assert changes == [*first, "grant-access", "set-expiry"]
    row.percent = 30
    receipt(await rig.do(Operation.GRANT, refs=granted.refs, terms=LATER))
    assert row.percent == 30


async def test_an_end_of_ours_that_passed_counts_as_expiry_once_access_was_taken(school, session) -> None:
    """The bridge itself revokes at the end, so the target may show no expiry."""
    rig = rig_for(school, session, after_expiry="reset")
    ada = school.add_user(str(ADA.email))
    row = school.add_enrollment(ada, 42)
    row.percent, row.allowed = 80, False
    refs = Refs({"user": str(ada.id)}, {"enrollment": str(row.id), "until": "2020-01-01 00:00:00"})
    receipt(await rig.do(Operation.GRANT, refs=refs, terms=LATER))
    assert (row.percent, row.allowed) == (0, True)


async def test_progress_is_reset_once_though_a_later_step_fails(school, session) -> None:
    """By the next try the person may have begun anew."""
    rig = rig_for(school, session, after_expiry="reset")
    row = school.add_enrollment(school.add_user(str(ADA.email)), 42)
    row.expires = datetime(2020, 1, 1, tzinfo=UTC)
    school.now_fails("status", status=503, path="/set-expiry", times=1)
    later = await rig.do(Operation.GRANT, terms=LATER)
    assert isinstance(later, TryLater)
    assert (later.applied, later.steps) == ("unknown", {"reset"})
    row.percent = 10
    receipt(await rig.do(Operation.GRANT, terms=LATER, refs=later.refs, steps=later.steps))
    assert row.percent == 10


async def test_an_end_that_is_wanted_no_longer_is_moved_far_away_if_it_was_ours(school, rig) -> None:
    """The target can not remove one; one that the school set stays."""
    granted = receipt(await rig.do(Operation.GRANT, terms=LATER))
    assert granted.refs.right == {"enrollment": "9001", "until": "2031-10-03 23:59:59"}
    updated = receipt(await rig.do(Operation.UPDATE, refs=granted.refs))
    assert school.enrollments[9001].expires == datetime(2099, 12, 31, 23, 59, 59, tzinfo=UTC)
    assert updated.refs.right["until"].startswith("2099")
    school.enrollments[9001].expires = END
    receipt(await rig.do(Operation.UPDATE, refs=Refs(granted.refs.person, {"enrollment": "9001"})))
    assert school.enrollments[9001].expires == END


async def test_a_date_that_was_set_for_nobody_is_no_receipt(school, rig) -> None:
    """The answer counts; none is not done."""
    said = {"message": "Expiration date is successfully updated for 0 student(s)"}
    school.now_fails("status", status=200, body=said, path="/set-expiry")
    outcome = await rig.do(Operation.GRANT, terms=LATER)
    assert isinstance(outcome, TryLater)
    assert outcome.applied == "unknown"


@pytest.mark.parametrize("table", [{"course_id": 42}, {"learning_path_id": 7}])
async def test_an_update_gives_nothing_back_that_staff_took_away(school, rig, table) -> None:
    """A changed name is no reason; the note says how things are."""
    granted = receipt(await rig.do(Operation.GRANT, table=table))
    school.enrollments[9001].allowed = False
    married = ADA.model_copy(update={"last_name": "King"})
    updated = receipt(await rig.do(Operation.UPDATE, married, refs=granted.refs, table=table))
    assert "somebody took access away" in updated.note
    assert rig.live() == []
    assert school.users[501].last_name == "King"


async def test_an_update_of_an_expired_enrollment_changes_the_person_alone(school, rig) -> None:
    """It names no new end, and nobody has to act."""
    granted = receipt(await rig.do(Operation.GRANT))
    school.enrollments[9001].expires = datetime(2020, 1, 1, tzinfo=UTC)
    assert "expired" in receipt(await rig.do(Operation.UPDATE, refs=granted.refs)).note


async def test_an_update_leaves_another_membership_as_it_is(school, rig) -> None:
    """The person moved on, and a changed name does not move them back."""
    table = {"membership_id": 3}
    granted = receipt(await rig.do(Operation.GRANT, table=table))
    school.users[501].membership, school.users[501].memberships[4] = 4, None
    assert "membership 4" in receipt(await rig.do(Operation.UPDATE, refs=granted.refs, table=table)).note
    assert rig.live() == [("ada.lovelace@example.org", "membership:4")]


async def test_a_membership_ends_with_a_past_date_and_only_if_it_is_the_one_held(school, rig) -> None:
    """Who moved on to another membership keeps it."""
    table = {"membership_id": 3}
    granted = receipt(await rig.do(Operation.GRANT, table=table, terms=LATER))
    assert school.journal[-1].json == {"id": "3", "expired_at": "2031-10-03 23:59:59"}
    assert granted.refs == Refs({"user": "501"}, {"membership": "3"})
    upgraded = receipt(await rig.do(Operation.GRANT, table={"membership_id": 4}))
    assert "membership 3" in upgraded.note
    assert receipt(await rig.do(Operation.REVOKE, table=table)).note == "not a member"
    assert rig.live() == [("ada.lovelace@example.org", "membership:4")]
    receipt(await rig.do(Operation.REVOKE, table={"membership_id": 4}))
    assert rig.live() == []
    assert school.journal[-1].json["expired_at"] < datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")


async def test_a_learning_path_takes_no_date_and_says_so(school, rig) -> None:
    """The bridge ends access itself."""
    granted = receipt(await rig.do(Operation.GRANT, table={"learning_path_id": 7}, terms=LATER))
    assert "the bridge ends access itself" in granted.note
    assert rig.live() == [("ada.lovelace@example.org", "learning_path:7")]
