"""Batches for Academy of Mine, and what an operator may set: routes, header, portal, course tables."""

from __future__ import annotations

import aiohttp
import pytest
from pydantic import ValidationError

from bridge.contract.command import Learner
from bridge.contract.errors import TransportFault
from bridge.contract.outbound import NeedsOperator, Operation, Receipt, Refused, Terms, TryLater
from connectors.outbound.academy_of_mine import CONNECTOR
from connectors.sandbox.academy_of_mine import KEY, AcademyOfMine
from tests.connectors.outbound.academy_of_mine_rig import CYD, calls, receipt, rig_for
from tests.suites.outbound import ADA, BOB, Rig


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


async def test_a_batch_enrolls_many_with_one_call(school, rig) -> None:
    """Per course; each outcome has its own enrollment."""
    works = [rig.work(Operation.GRANT, who) for who in (ADA, BOB, CYD)]
    outcomes = await rig.connector.deliver([*works, rig.work(Operation.GRANT, ADA, table={"course_id": 43}, key="b")])
    assert calls(school)["POST /courses/42/enroll"] == 1
    held = {held.remote_id: (held.person, held.what) for held in school.holdings()}
    assert [held[receipt(outcome).refs.right["enrollment"]] for outcome in outcomes] == [
        (ADA.email, "course:42"),
        (BOB.email, "course:42"),
        (CYD.email, "course:42"),
        (ADA.email, "course:43"),
    ]


async def test_one_of_a_batch_who_can_not_be_enrolled_does_not_keep_the_others_out(school, rig) -> None:
    """The answer only counts; who was left out is looked up."""
    school.add_user(str(BOB.email)).disabled = True
    first, second, third = await rig.connector.deliver([rig.work(Operation.GRANT, who) for who in (ADA, BOB, CYD)])
    assert isinstance(second, NeedsOperator)
    assert "disabled" in second.why
    assert school.users[501].disabled
    receipt(first)
    receipt(third)
    assert len(rig.live()) == 2


async def test_a_batch_that_is_refused_as_a_whole_goes_one_by_one(school, rig) -> None:
    """One wrong id may have spoilt it for all."""
    school.now_fails("status", status=422, path="/enroll", method="POST", times=1, body={"message": "invalid"})
    outcomes = await rig.connector.deliver([rig.work(Operation.GRANT, who) for who in (ADA, BOB)])
    assert all(isinstance(outcome, Receipt) for outcome in outcomes)
    assert calls(school)["POST /courses/42/enroll"] == 3


async def test_a_batch_may_mix_operations_and_failures(school, rig) -> None:
    """Each member gets its own outcome, in the order of the batch."""
    bob = school.add_user(str(BOB.email))
    school.add_enrollment(bob, 42)
    nobody = Learner(remote_user_id="9")
    works = [
        rig.work(Operation.GRANT, nobody),
        rig.work(Operation.REVOKE, BOB),
        rig.work(Operation.GRANT, ADA),
        rig.work(Operation.GRANT, CYD, table={"membership_id": 3}),
    ]
    refused, *others = await rig.connector.deliver(works)
    assert isinstance(refused, Refused)
    assert all(isinstance(outcome, Receipt) for outcome in others)
    assert rig.live() == [("ada.lovelace@example.org", "course:42"), (str(CYD.email), "membership:3")]


async def test_a_lost_answer_is_one_persons_in_a_batch_and_everybodys_alone(school, rig) -> None:
    """The others keep their receipts; when nobody got an answer, dispatch hears of the fault."""
    ada, bob = rig.work(Operation.GRANT, ADA), rig.work(Operation.GRANT, BOB)
    school.now_fails("lost", times=1, path="/users/lookup")
    lost, fine = await rig.connector.deliver([ada, bob])
    assert isinstance(lost, TryLater)
    assert lost.applied == "unknown"
    receipt(fine)
    school.now_fails("lost")
    with pytest.raises(TransportFault):
        await rig.connector.deliver([ada, bob])


async def test_a_lost_answer_of_a_shared_enroll_call_enrolls_nobody_twice(school, rig) -> None:
    """All of them keep the account that was made for them, and look first the next time."""
    school.now_fails("lost", times=1, path="/enroll", method="POST")
    lost = await rig.connector.deliver([rig.work(Operation.GRANT, who) for who in (ADA, BOB)])
    assert [(later.applied, later.refs.person) for later in lost] == [
        ("unknown", {"user": "501"}),
        ("unknown", {"user": "502"}),
    ]
    works = [rig.work(Operation.GRANT, who, refs=later.refs) for who, later in zip((ADA, BOB), lost, strict=True)]
    assert all(isinstance(outcome, Receipt) for outcome in await rig.connector.deliver(works))
    assert len(school.enrollments) == 2


async def test_a_refused_key_is_not_tried_for_everybody(school, session) -> None:
    """The lane stops; a few requests were under way."""
    rig = rig_for(school, session, api_key="wrong")
    people = [Learner(remote_user_id=str(n), email=f"p{n}@example.org") for n in range(50)]
    outcomes = await rig.connector.deliver([rig.work(Operation.GRANT, who) for who in people])
    assert {getattr(outcome, "scope", "") for outcome in outcomes} == {"lane"}
    assert len(school.journal) <= 8


async def test_enrolls_into_the_portal_of_the_settings(school, session) -> None:
    """Lists are narrowed to it as well."""
    rig = rig_for(school, session, portal_id=5)
    await rig.deliver([rig.work(Operation.GRANT, terms=Terms(send_email=True))])
    by_path = {seen.path.removeprefix("/api/v1"): seen for seen in school.journal}
    assert by_path["/courses/42/enroll"].json == {"studentIds": [501], "portalId": 5}
    assert by_path["/users/enrolled-courses"].query["portalId"] == "5"
    assert by_path["/users/resend-new-account-email"].query == {"portalId": "5", "user_id": "501"}


async def test_a_missing_address_names_the_route_and_how_to_set_it(school, session) -> None:
    """The defaults are assumed, so this is the first thing that an operator meets."""
    rig = rig_for(school, session, routes={"search_users": "GET /nowhere"})
    outcome = await rig.connector.check()
    assert isinstance(outcome, NeedsOperator)
    assert "search_users (GET /nowhere)" in outcome.why
    assert '"METHOD /path"' in outcome.remedy
    assert "[targets.NAME.routes]" in outcome.remedy
    assert outcome.scope == "lane"


async def test_an_unknown_course_stops_only_its_own_work(school, rig) -> None:
    """A wrong id in one course's table is not the whole target's trouble."""
    school.courses = {1}
    outcome = await rig.do(Operation.GRANT)
    assert isinstance(outcome, NeedsOperator)
    assert outcome.scope == "delivery"
    assert "route enroll" in outcome.why
    assert outcome.refs.person == {"user": "501"}


async def test_an_address_of_a_learning_path_stops_only_its_own_work(school, rig) -> None:
    """The id goes along in the query, so it may be the id that is wrong."""
    school.add_user(str(ADA.email))
    school.now_fails("status", status=404, path="/enrolled-students", body={"message": "not found"})
    outcome = await rig.do(Operation.GRANT, table={"learning_path_id": 7})
    assert isinstance(outcome, NeedsOperator)
    assert outcome.scope == "delivery"


async def test_routes_may_be_set_one_by_one(session) -> None:
    """Every row of the table is the operator's."""
    school = AcademyOfMine()
    school.prefix = "/v9"
    async with school:
        usual = CONNECTOR.Settings.model_validate({"connector": "x", "base_url": "", "api_key": ""}).routes
        moved = {name: text.replace("/api/v1", "/v9") for name, text in dict(usual).items()}
        moved["enroll"] = "POST   /v9/courses/{course_id}/enroll"
        receipt(await rig_for(school, session, routes=moved).do(Operation.GRANT))
        assert {seen.path.split("/")[1] for seen in school.journal} == {"v9"}


async def test_the_key_may_go_in_another_header(school, session) -> None:
    """As the vendor told this customer."""
    school.header = ("X-Api-Key", f"key={KEY}")
    rig = rig_for(school, session, auth={"header": "X-Api-Key", "value": "key={api_key}"})
    receipt(await rig.do(Operation.GRANT))
    assert "Authorization" not in school.journal[0].headers


@pytest.mark.parametrize(
    "wrong",
    [
        {"routes": {"enrol": "POST /x/{id}"}},
        {"routes": {"enroll": "POST"}},
        {"routes": {"enroll": "/courses/{id}/enroll"}},
        {"routes": {"enroll": "FETCH /courses/{id}/enroll"}},
        {"routes": {"enroll": "POST /courses/enroll"}},
        {"routes": {"enroll": "POST /courses/{slug}/enroll"}},
        {"routes": {"create_user": "POST /users/{id}"}},
        {"auth": {"value": "Bearer"}},
        {"auth": {"header": "X Key"}},
        {"revoke": "maybe"},
        {"portal_id": 0},
        {"after_expiry": "forget"},
        {"orders": {"products": {"ABCD1234": 7}}},
        {"orders": {"products": {"ABCD1234": "seven"}, "currency": "EUR"}},
        {"orders": {"currency": "euro"}},
        {"orders": {"status": "SHIPPED"}},
    ],
)
def test_a_setting_that_can_not_work_is_a_fault(wrong) -> None:
    """Before anything is sent."""
    with pytest.raises(ValidationError):
        CONNECTOR.Settings.model_validate(
            {"connector": "x", "base_url": "https://a.example.org", "api_key": "k"} | wrong
        )


@pytest.mark.parametrize(
    "wrong",
    [{}, {"course_id": 1, "membership_id": 2}, {"course_id": ""}, {"course_id": True}, {"course_id": 1.5}],
)
def test_a_course_table_names_exactly_one_thing(wrong) -> None:
    """Two would leave open what was bought."""
    assert CONNECTOR.Course is not None
    with pytest.raises(ValidationError):
        CONNECTOR.Course.model_validate(wrong)


def test_a_number_and_its_text_are_one_remote_course() -> None:
    """Otherwise one course would be granted twice."""
    assert CONNECTOR.Course is not None
    number, text = (CONNECTOR.Course.model_validate({"course_id": value}) for value in (42, "42"))
    assert CONNECTOR.course_for(number, "A") == CONNECTOR.course_for(text, "B")
