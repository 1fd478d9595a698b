"""What a try that a transport fault ended at Academy of Mine leaves for the next one."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import aiohttp
import pytest
from aiohttp import web

from bridge.contract.errors import AnswerLost
from bridge.contract.outbound import NeedsOperator, Operation, Receipt, Refs, Refused, Terms, TryLater
from connectors.sandbox.academy_of_mine import AcademyOfMine
from tests.connectors.outbound.academy_of_mine_rig import calls, receipt, rig_for
from tests.suites.outbound import ADA, BOB, Rig

LATER = Terms(expires_at=datetime(2031, 10, 3, 23, 59, 59, tzinfo=UTC))
MOVED = ADA.model_copy(update={"email": "ada@king.example.org"})


class GoneSoon(AcademyOfMine):
    """A school that takes no connection any more after its answer to a request whose path ends with ``last``."""

    last = ""

    def routes(self) -> list[web.RouteDef]:
        """Return the usual addresses, one of them followed by the end."""
        return [web.route(route.method, route.path, self._leaving(route.handler)) for route in super().routes()]

    def _leaving(self, handler):
        async def answer(request: web.Request) -> web.StreamResponse:
            if self.last and request.method == "POST" and request.path.endswith(self.last):
                assert self._runner is not None
                for site in list(self._runner.sites):
                    await site.stop()
            return await handler(request)

        return answer


@pytest.fixture
async def school():
    async with GoneSoon() as emulator:
        yield emulator


@pytest.fixture
async def session():
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as opened:
        yield opened


@pytest.fixture
def rig(school, session) -> Rig:
    return rig_for(school, session)


async def test_a_new_user_is_kept_though_the_answer_to_the_enroll_call_is_lost(school, rig) -> None:
    """The address changes before the retry, and the person is still one."""
    school.now_fails("lost", times=1, method="POST", path="/enroll")
    lost = await rig.do(Operation.GRANT)
    assert isinstance(lost, TryLater), lost
    assert (lost.applied, lost.cause, lost.refs) == ("unknown", "outage", Refs({"user": "501"}))
    granted = receipt(await rig.do(Operation.GRANT, MOVED, refs=lost.refs, unknown=True))
    assert granted.refs == Refs({"user": "501"}, {"enrollment": "9001"})
    assert len(school.users) == 1
    assert [what for _, what in rig.live()] == ["course:42"]


async def test_a_membership_keeps_the_new_user_too(school, rig) -> None:
    """The same with the call that gives it."""
    table = {"membership_id": 3}
    school.now_fails("lost", times=1, method="POST", path="/membership")
    lost = await rig.do(Operation.GRANT, table=table)
    assert isinstance(lost, TryLater), lost
    assert (lost.applied, lost.refs.person) == ("unknown", {"user": "501"})
    receipt(await rig.do(Operation.GRANT, MOVED, table=table, refs=lost.refs, unknown=True))
    assert len(school.users) == 1


async def test_a_fault_that_taught_nothing_new_is_raised(school, rig) -> None:
    """What the work brought along was not learnt."""
    user = school.add_user(str(ADA.email))
    school.now_fails("lost", times=1, method="POST", path="/enroll")
    with pytest.raises(AnswerLost):
        await rig.do(Operation.GRANT, refs=Refs({"user": str(user.id)}))


async def test_one_of_a_batch_that_learnt_something_keeps_it_for_all(school, rig) -> None:
    """The other, of whom nothing was learnt, is tried later as well."""
    school.add_user(str(BOB.email))
    school.now_fails("lost", method="POST", path="/users")
    school.now_fails("lost", method="POST", path="/enroll")
    ada, bob = await rig.connector.deliver([rig.work(Operation.GRANT, ADA), rig.work(Operation.GRANT, BOB)])
    assert [(later.applied, later.refs.person) for later in (ada, bob)] == [
        ("unknown", {}),
        ("unknown", {"user": "501"}),
    ]


async def test_a_school_that_went_away_after_making_the_user_surely_enrolled_nobody(school, rig) -> None:
    """The user's id is kept all the same."""
    school.last = "/users"
    gone = await rig.do(Operation.GRANT)
    assert isinstance(gone, TryLater), gone
    assert (gone.applied, gone.cause, gone.refs.person) == ("no", "outage", {"user": "501"})


async def test_a_school_that_went_away_after_enrolling_may_have_the_person_in(school, rig) -> None:
    """A cancellation that comes next must not be taken for nothing to do."""
    school.last = "/enroll"
    gone = await rig.do(Operation.GRANT)
    assert isinstance(gone, TryLater), gone
    assert gone.applied == "unknown"
    assert len(rig.live()) == 1


@pytest.mark.parametrize("people", [[ADA], [ADA, BOB]])
async def test_an_enrollment_that_is_not_listed_yet_is_no_proof_of_absence(school, rig, people) -> None:
    """Nor is a throttled look at the list."""
    for status, body in ((200, {"records": []}), (429, {"message": "slow down"})):
        school.enrollments.clear()
        refs = [Refs({"user": str(school.add_user(f"x{status}{n}@example.org").id)}) for n in range(len(people))]
        school.now_fails("status", status=status, body=body, path="/enrolled-courses", after=len(people))
        works = [rig.work(Operation.GRANT, who, refs=ref) for who, ref in zip(people, refs, strict=True)]
        outcomes = await rig.connector.deliver(works)
        school.recovers()
        assert [getattr(outcome, "applied", outcome) for outcome in outcomes] == ["unknown"] * len(people)
        assert calls(school)["GET /users/lookup"] == 0


async def test_a_grant_to_a_known_account_brings_the_new_address_along(school, rig) -> None:
    """The address may have changed between the try that made the account and the one that enrolls."""
    known = Refs({"user": str(school.add_user(str(ADA.email)).id)})
    receipt(await rig.do(Operation.GRANT, MOVED, refs=known))
    assert rig.live() == [("ada@king.example.org", "course:42")]


async def test_an_address_that_is_taken_does_not_keep_a_buyer_out(school, rig) -> None:
    """The grant goes through, and its note says what did not."""
    known = Refs({"user": str(school.add_user(str(ADA.email)).id)})
    school.add_user(str(MOVED.email))
    outcome = await rig.do(Operation.GRANT, MOVED, refs=known)
    assert isinstance(outcome, Receipt), outcome
    assert "not taken over" in outcome.note
    assert rig.live() == [("ada.lovelace@example.org", "course:42")]


@pytest.mark.parametrize("people", [[ADA], [ADA, BOB]])
async def test_a_fault_that_needs_a_person_after_enrolling_is_told_with_the_second_try(school, session, people) -> None:
    """The first says that access may be there: otherwise a refund that comes next would take nothing away."""
    rig = rig_for(school, session, routes={"set_expiry": "POST /nowhere/{id}"})
    works = [rig.work(Operation.GRANT, who, terms=LATER) for who in people]
    first = await rig.deliver(works)
    assert [(type(later), getattr(later, "applied", "")) for later in first] == [(TryLater, "unknown")] * len(people)
    assert all("route set_expiry (POST /nowhere/{id})" in later.why for later in first)
    again = [replace(work, refs=later.refs, unknown=True) for work, later in zip(works, first, strict=True)]
    assert all(isinstance(outcome, NeedsOperator) for outcome in await rig.deliver(again))


async def test_a_fault_that_needs_a_person_before_enrolling_is_told_at_once(school, session) -> None:
    """Nobody is in, and the ledger believes so."""
    rig = rig_for(school, session, routes={"enroll": "POST /nowhere/{id}"})
    assert isinstance(await rig.do(Operation.GRANT), NeedsOperator)
    rig = rig_for(school, session, routes={"learning_path_enroll": "POST /nowhere/{id}"})
    assert isinstance(await rig.do(Operation.GRANT, table={"learning_path_id": 7}), NeedsOperator)


async def test_a_list_that_fails_after_a_call_for_many_leaves_access_in_doubt(school, session) -> None:
    """One of them is out, and nobody can see which."""
    rig = rig_for(school, session)
    school.add_user(str(BOB.email)).disabled = True
    school.now_fails("status", status=404, path="/enrolled-courses", after=1, body={"message": "gone"})
    outcomes = await rig.deliver([rig.work(Operation.GRANT, who) for who in (ADA, BOB)])
    assert [getattr(outcome, "applied", outcome) for outcome in outcomes] == ["unknown", "unknown"]


@pytest.mark.parametrize(
    ("table", "path", "body", "name"),
    [
        (
            {"course_id": 42},
            "/enroll",
            {"message": "0", "enrolledUsersCount": 0, "notEnrolledUsers": 1},
            "not-enrolled",
        ),
        ({"course_id": 199}, "", None, "not-found"),
        ({"learning_path_id": 199}, "", None, "not-found"),
        ({"membership_id": 199}, "", None, "not-found"),
    ],
)
async def test_what_keeps_somebody_out_is_explained(school, rig, table, path, body, name) -> None:
    """By a row of the table, whichever kind of course it is."""
    if path:
        school.now_fails("status", status=200, path=path, method="POST", body=body)
    outcome = await rig.do(Operation.GRANT, table=table)
    assert isinstance(outcome, NeedsOperator | Refused)
    assert outcome.remedy == rig.connector.errors[name].next_step
    assert rig.live() == []
