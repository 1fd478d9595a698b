"""What a try that a transport fault ended at Academy of Mine leaves for the next one."""

from __future__ import annotations

import aiohttp
import pytest
from aiohttp import web

from bridge.contract.errors import AnswerLost
from bridge.contract.outbound import Operation, Receipt, Refs, TryLater
from connectors.sandbox.academy_of_mine import AcademyOfMine
from tests.connectors.outbound.academy_of_mine_rig import calls, receipt, rig_for
from tests.suites.outbound import ADA, BOB, Rig

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
