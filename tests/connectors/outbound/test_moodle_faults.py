"""Moodle when something is wrong: error codes at HTTP 200, batches of which one member fails, answers that are lost."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import aiohttp
import pytest

from bridge.contract.errors import AnswerLost
from bridge.contract.outbound import NeedsOperator, Operation, Outcome, Receipt, Refs, Refused, Terms, TryLater
from connectors.sandbox.moodle import Moodle
from tests.connectors.outbound.moodle_rig import calls, forms, people, receipt, rig_for
from tests.connectors.outbound.test_moodle import END
from tests.suites.outbound import ADA, BOB, Rig


@pytest.fixture
async def site():
    async with Moodle() as moodle:
        yield moodle


@pytest.fixture
async def rig(site):
    async with aiohttp.ClientSession() as session:
        yield rig_for(site, session)


def error(code: str) -> dict[str, Any]:
    return {"exception": "core\\exception\\moodle_exception", "errorcode": code, "message": f"words about {code}"}


def explained(rig: Rig, outcome: Outcome, name: str) -> bool:
    known = rig.connector.errors[name]
    return isinstance(outcome, NeedsOperator | Refused) and (
        outcome.why.startswith(known.sentence) and outcome.remedy == known.next_step
    )


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("invalidtoken", "bad-token"),
        ("accessexception", "no-access"),
        ("wsaccessuserdeleted", "technical-user"),
        ("wsaccessuserunconfirmed", "technical-user"),
        ("wsaccessusersuspended", "technical-user"),
        ("wsaccessusernologin", "technical-user"),
        ("wsaccessuserexpired", "technical-user"),
        ("forcepasswordchangenotice", "technical-user"),
        ("usernotfullysetup", "technical-user"),
        ("sitepolicynotagreed", "technical-user"),
        ("nopermissions", "no-capability"),
    ],
)
async def test_what_concerns_every_call_stops_the_lane(rig: Rig, code: str, name: str) -> None:
    """It comes with HTTP 200, and one call is enough to know it."""
    rig.emulator.now_fails("status", status=200, body=error(code))
    outcomes = await rig.deliver([rig.work(Operation.GRANT, person) for person in (ADA, BOB)])
    assert all(explained(rig, outcome, name) for outcome in outcomes)
    assert {getattr(outcome, "scope", "") for outcome in outcomes} == {"lane"}
    assert len(rig.emulator.journal) == 1


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("nopermissions", "no-course-capability"),
        ("wsusercannotassign", "role"),
        ("wsnoinstance", "no-manual-enrolment"),
        ("wscannotenrol", "enrolment-refused"),
        ("wscannotunenrol", "enrolment-refused"),
        ("invalidparameter", "no-such-course"),
        ("invalidcourseid", "no-such-course"),
        ("invalidrecord", "no-such-course"),
        ("invalidrecordunknown", "no-such-course"),
        ("invalidcontext", "no-such-course"),
        ("requireloginerror", "course-closed"),
        ("coursehidden", "course-closed"),
        ("invaliduser", "no-such-user"),
        ("userdeleted", "no-such-user"),
        ("guestsarenotallowed", "no-such-user"),
        ("usernotconfirmed", "not-confirmed"),
    ],
)
async def test_what_concerns_one_enrolment_waits_for_an_operator(rig: Rig, code: str, name: str) -> None:
    """The account's id is kept, and the code is told: the message is in the site's language."""
    rig.emulator.add_user(str(ADA.email))
    rig.emulator.now_fails("status", status=200, after=1, body=error(code))
    outcome = await rig.do(Operation.GRANT)
    assert explained(rig, outcome, name)
    assert isinstance(outcome, NeedsOperator)
    assert outcome.scope == "delivery"
    assert outcome.refs == Refs({"user": "42"})
    assert code in outcome.why


async def test_the_sites_own_codes_come_in_these_places(rig: Rig, site: Moodle) -> None:
    """As the emulator plays them: course, role, method and account, each wrong in its turn."""
    site.courses = {7}
    assert explained(rig, await rig.do(Operation.GRANT, table={"course_id": 8}), "no-such-course")
    assert explained(rig, await rig.do(Operation.GRANT, table={"course_id": 7, "role_id": 3}), "role")
    site.methods[7] = {"self"}
    assert explained(rig, await rig.do(Operation.GRANT), "no-manual-enrolment")
    site.methods.clear()
    site.state.users[42].confirmed = False
    assert explained(rig, await rig.do(Operation.GRANT), "not-confirmed")
    site.functions.discard("enrol_manual_enrol_users")
    assert explained(rig, await rig.do(Operation.GRANT), "no-access")
    assert rig.live() == []


async def test_access_to_a_course_that_never_was_ends_without_an_operator(rig: Rig, site: Moodle) -> None:
    """A mapping that was corrected leaves such revocations behind; where access was given, somebody has to look."""
    site.courses = {7}
    await rig.do(Operation.GRANT, table={"course_id": 8})
    assert isinstance(await rig.do(Operation.REVOKE, table={"course_id": 8}, unknown=True), Receipt)
    refs = Refs(right={"enrollment": "42:8"})
    assert explained(rig, await rig.do(Operation.REVOKE, table={"course_id": 8}, refs=refs), "no-such-course")


async def test_a_site_without_manual_enrolments_stops_the_lane(rig: Rig) -> None:
    """No course can be given then."""
    rig.emulator.now_fails("status", status=200, body=error("manualpluginnotinstalled"), after=3)
    outcome = await rig.do(Operation.GRANT)
    assert explained(rig, outcome, "no-manual-plugin")
    assert getattr(outcome, "scope", "") == "lane"


@pytest.mark.parametrize("namespaced", [True, False])
@pytest.mark.parametrize("debugging", [True, False])
async def test_errors_are_known_by_their_code_alone(rig: Rig, *, namespaced: bool, debugging: bool) -> None:
    """Classes were renamed in 4.5, and only a debugging site gives reasons."""
    rig.emulator.namespaced, rig.emulator.debugging, rig.emulator.courses = namespaced, debugging, set()
    assert explained(rig, await rig.do(Operation.GRANT), "no-such-course")


async def test_an_unknown_code_is_refused_and_told(rig: Rig) -> None:
    """Nobody knows whether it would go away."""
    rig.emulator.now_fails("status", status=200, body=error("somethingnew"))
    outcome = await rig.do(Operation.GRANT)
    assert explained(rig, outcome, "refused")
    assert "somethingnew" in getattr(outcome, "why", "")


@pytest.mark.parametrize("code", ["sitemaintenance", "upgraderunning"])
async def test_maintenance_is_waited_for(rig: Rig, code: str) -> None:
    """By the whole lane, some minutes, and nobody is called."""
    rig.emulator.now_fails("status", status=200, body=error(code))
    outcome = await rig.do(Operation.GRANT)
    assert isinstance(outcome, TryLater)
    assert (outcome.scope, outcome.cause, outcome.after, outcome.applied) == ("lane", "outage", 120.0, "no")
    rig.emulator.recovers()
    rig.emulator.maintenance = True
    assert isinstance(await rig.connector.check(), TryLater)


@pytest.mark.parametrize(
    "code", ["dmlreadexception", "dmlwriteexception", "dbconnectionfailed", "sessionwaiterr", "dmltransactionexception"]
)
async def test_a_database_in_trouble_is_an_outage(rig: Rig, code: str) -> None:
    """Also in the middle: the account that was made is remembered."""
    rig.emulator.now_fails("status", status=200, after=3, times=1, body=error(code))
    outcome = await rig.do(Operation.GRANT)
    assert isinstance(outcome, TryLater)
    assert (outcome.cause, outcome.applied, outcome.refs) == ("outage", "unknown", Refs({"user": "42"}))
    assert isinstance(await rig.do(Operation.GRANT, refs=outcome.refs, unknown=True), Receipt)
    assert calls(rig.emulator).count("create") == 1


async def test_rest_that_is_switched_off_is_told_from_a_firewall(rig: Rig, site: Moodle) -> None:
    """Moodle answers 403 without a word then."""
    site.rest = False
    assert explained(rig, await rig.do(Operation.GRANT), "rest-off")
    site.rest = True
    site.now_fails("status", status=403, body="<html>blocked</html>")
    assert explained(rig, await rig.connector.check(), "credentials")


async def test_a_wrong_address_is_told(rig: Rig) -> None:
    """Sites in a sub-directory are many."""
    rig.connector._http.base_url += "/moodle"
    outcome = await rig.do(Operation.GRANT)
    assert explained(rig, outcome, "wrong-address")
    assert getattr(outcome, "scope", "") == "lane"


async def test_the_web_servers_limit_slows_the_lane(rig: Rig, site: Moodle) -> None:
    """Moodle itself has none; what is made already is kept."""
    site.limit = (3, 60.0)
    outcome = await rig.do(Operation.GRANT)
    assert isinstance(outcome, TryLater)
    assert (outcome.scope, outcome.cause, outcome.after) == ("lane", "throttled", 2.0)
    assert outcome.refs == Refs({"user": "42"})
    site.limit = None
    receipt(await rig.do(Operation.GRANT, refs=outcome.refs, unknown=True))
    assert len(site.state.users) == 1


@pytest.mark.parametrize("body", [[], {}, {"warnings": []}, "text", 7, True])
async def test_half_an_answer_is_no_answer(rig: Rig, body: Any) -> None:
    """A user who was made has an id."""
    rig.emulator.now_fails("status", status=200, after=2, times=1, body=body)
    outcome = await rig.do(Operation.GRANT)
    assert isinstance(outcome, TryLater)
    assert (outcome.cause, outcome.applied) == ("outage", "unknown")


async def test_somebody_made_a_moment_ago_is_found_by_the_refusal(rig: Rig, site: Moodle) -> None:
    """Moodle refuses a second account and does not say why: looking again does."""
    for _ in range(2):  # the look-ups were answered before the account was made
        site.now_fails("status", status=200, times=1, body=[])
    made = site.add_user(str(ADA.email))
    assert receipt(await rig.do(Operation.GRANT)).refs.person == {"user": str(made.id)}
    assert calls(site) == ["look up", "look up", "create", "search", "enrol"]
    assert len(site.state.users) == 1


async def test_a_refusal_that_looking_again_does_not_explain_is_an_operators(rig: Rig, site: Moodle) -> None:
    """A blocked e-mail domain, say."""
    site.now_fails("status", status=200, after=2, times=1, body=error("invalidparameter"))
    outcome = await rig.do(Operation.GRANT)
    assert explained(rig, outcome, "not-created")
    assert calls(site) == ["look up", "look up", "create", "search", "look up"]


async def test_an_address_that_moodle_takes_for_none(rig: Rig) -> None:
    """It is nobody's there, and will not be."""
    odd = ADA.model_copy(update={"email": "ada@intranet"})
    assert explained(rig, await rig.do(Operation.GRANT, odd), "bad-address")
    assert isinstance(await rig.do(Operation.REVOKE, odd), Receipt)


@pytest.mark.parametrize(
    ("trouble", "name"),
    [("useremailduplicate", "address-taken"), ("usernotupdatedadmin", "not-updated"), ("somethingnew", "not-updated")],
)
async def test_a_warning_fails_the_update_and_not_the_end_of_access(rig: Rig, trouble: str, name: str) -> None:
    """Warnings stand in an answer that is a success otherwise; the end is written before."""
    granted = receipt(await rig.do(Operation.GRANT))
    moved = ADA.model_copy(update={"email": "new@example.org"})
    warning = {"item": "user", "itemid": 42, "warningcode": trouble, "message": "m"}
    rig.emulator.now_fails("status", status=200, after=2, times=1, body={"warnings": [warning]})
    outcome = await rig.do(Operation.UPDATE, moved, refs=granted.refs, terms=Terms(expires_at=END))
    assert explained(rig, outcome, name)
    assert outcome.refs.right["until"] == str(int(END.timestamp()))
    assert rig.emulator.state.enrolments[42, 7].timeend == int(END.timestamp())


async def test_a_new_address_that_another_account_has_is_told(rig: Rig) -> None:
    """And an old release answers an update with null."""
    granted = receipt(await rig.do(Operation.GRANT))
    rig.emulator.add_user("taken@example.org")
    moved = ADA.model_copy(update={"email": "taken@example.org"})
    assert explained(rig, await rig.do(Operation.UPDATE, moved, refs=granted.refs), "address-taken")
    rig.emulator.now_fails("status", status=200, after=1, times=1, body=None)
    assert isinstance(await rig.do(Operation.UPDATE, moved, refs=granted.refs), Receipt)


async def test_many_people_and_courses_go_out_in_one_call(rig: Rig, site: Moodle) -> None:
    """Fifty of them fit into what PHP reads of a form."""
    group = people(rig.connector.batch_size)
    courses = [{"course_id": 7 + n % 3} for n in range(len(group))]
    works = [rig.work(Operation.GRANT, one, table=table) for one, table in zip(group, courses, strict=True)]
    outcomes = await rig.deliver(works)
    assert [receipt(outcome).refs.right["enrollment"] for outcome in outcomes] == [
        f"{42 + n}:{7 + n % 3}" for n in range(50)
    ]
    assert calls(site) == ["look up", "look up", "create", "enrol"]
    assert max(len(form) for _, form in forms(site)) < 900
    site.journal.clear()
    revoked = [
        rig.work(Operation.REVOKE, one, table=table, refs=outcome.refs)
        for one, table, outcome in zip(group, courses, outcomes, strict=True)
    ]
    assert all(isinstance(outcome, Receipt) for outcome in await rig.deliver(revoked))
    assert calls(site) == ["look up", "enrol"]
    assert rig.live() == []


async def test_one_person_and_two_courses_in_one_batch_are_one_account(rig: Rig, site: Moodle) -> None:
    """And both courses."""
    works = [rig.work(Operation.GRANT, table={"course_id": number}) for number in (7, 8)]
    outcomes = await rig.deliver(works)
    assert {receipt(outcome).refs.person["user"] for outcome in outcomes} == {"42"}
    assert rig.live() == [("ada.lovelace@example.org", "7"), ("ada.lovelace@example.org", "8")]
    assert len(site.state.users) == 1


async def test_a_batch_may_hold_every_operation(rig: Rig, site: Moodle) -> None:
    """Each is brought to what is wanted, in one enrolment call."""
    out, changed = people(2)
    held = [
        receipt(outcome) for outcome in await rig.deliver([rig.work(Operation.GRANT, one) for one in (out, changed)])
    ]
    site.journal.clear()
    outcomes = await rig.deliver(
        [
            rig.work(Operation.GRANT, ADA),
            rig.work(Operation.REVOKE, out, refs=held[0].refs),
            rig.work(Operation.UPDATE, changed, refs=held[1].refs, terms=Terms(expires_at=END)),
        ]
    )
    assert all(isinstance(outcome, Receipt) for outcome in outcomes)
    assert calls(site).count("enrol") == 1
    assert rig.live() == [("ada.lovelace@example.org", "7"), ("p1@example.org", "7")]


async def test_one_bad_enrolment_does_not_spoil_the_others(rig: Rig, site: Moodle) -> None:
    """The call for all is rolled back; then each goes out alone."""
    site.courses = {7}
    group = people(4)
    tables = [{"course_id": 8 if n == 2 else 7} for n in range(4)]
    works = [rig.work(Operation.GRANT, one, table=table) for one, table in zip(group, tables, strict=True)]
    outcomes = await rig.deliver(works)
    assert [isinstance(outcome, Receipt) for outcome in outcomes] == [True, True, False, True]
    assert explained(rig, outcomes[2], "no-such-course")
    assert outcomes[2].refs == Refs({"user": "44"})
    assert calls(site) == ["look up", "look up", "create", *["enrol"] * 5]
    assert {row.writes for row in site.state.enrolments.values()} == {1}


async def test_one_bad_address_does_not_spoil_the_others(rig: Rig) -> None:
    """Moodle refuses a whole look-up for one value that it takes for no address."""
    bad = BOB.model_copy(update={"email": "bob@intranet"})
    outcomes = await rig.deliver([rig.work(Operation.GRANT, one) for one in (ADA, bad, *people(1))])
    assert [isinstance(outcome, Receipt) for outcome in outcomes] == [True, False, True]
    assert explained(rig, outcomes[1], "bad-address")


async def test_one_account_that_appears_meanwhile_does_not_spoil_the_others(rig: Rig, site: Moodle) -> None:
    """The accounts are then made one by one, and the one that is there is found."""
    for _ in range(2):
        site.now_fails("status", status=200, times=1, body=[])
    there = site.add_user(str(BOB.email))
    outcomes = await rig.deliver([rig.work(Operation.GRANT, one) for one in (ADA, BOB, *people(1))])
    assert [receipt(outcome).refs.person["user"] for outcome in outcomes] == ["43", str(there.id), "44"]
    assert len(rig.live()) == 3


async def test_a_fault_amid_single_calls_leaves_each_with_what_is_known_of_it(rig: Rig, site: Moodle) -> None:
    """Who was enrolled is; who was not is tried again with the account that was made."""
    site.courses = {7}
    group = people(3)
    tables = [{"course_id": 8}, {"course_id": 7}, {"course_id": 7}]
    site.now_fails("status", status=503, after=6, times=1)  # look up twice, create, all, the first, the second; then
    works = [rig.work(Operation.GRANT, one, table=table) for one, table in zip(group, tables, strict=True)]
    outcomes = await rig.deliver(works)
    assert explained(rig, outcomes[0], "no-such-course")
    assert isinstance(outcomes[1], Receipt)
    assert isinstance(outcomes[2], TryLater)
    assert outcomes[2].refs == Refs({"user": "44"})


@pytest.mark.parametrize("nth", range(4))
async def test_a_batch_whose_answer_is_lost_is_done_once(rig: Rig, site: Moodle, nth: int) -> None:
    """At each request in turn; the next try finds what the lost one made."""
    group = people(3)
    site.now_fails("lost", after=nth, times=1)
    refs = [Refs()] * 3
    with suppress(AnswerLost):
        outcomes = await rig.deliver([rig.work(Operation.GRANT, one) for one in group])
        assert nth == 3
        assert all(isinstance(outcome, TryLater) and outcome.applied == "unknown" for outcome in outcomes)
        refs = [outcome.refs for outcome in outcomes]
        assert [ref.person for ref in refs] == [{"user": "42"}, {"user": "43"}, {"user": "44"}]
    again = [rig.work(Operation.GRANT, one, unknown=True, refs=ref) for one, ref in zip(group, refs, strict=True)]
    assert all(isinstance(outcome, Receipt) for outcome in await rig.deliver(again))
    assert len(site.state.users) == len(site.state.enrolments) == 3


async def test_a_lost_answer_to_an_update_is_repeated_without_harm(rig: Rig, site: Moodle) -> None:
    """At each of its requests."""
    granted = receipt(await rig.do(Operation.GRANT))
    married = ADA.model_copy(update={"last_name": "King"})
    for nth in range(3):
        site.state.users[42].lastname = "Lovelace"
        site.now_fails("lost", after=nth, times=1)
        terms = Terms(expires_at=END.replace(day=nth + 1))
        refs = granted.refs
        with suppress(AnswerLost):  # of the last one there is more to tell: the end is written
            outcome = await rig.do(Operation.UPDATE, married, refs=refs, terms=terms)
            assert (nth, outcome.refs.right["until"]) == (2, str(int(END.replace(day=3).timestamp())))
            refs = Refs(refs.person, {**refs.right, **outcome.refs.right})
        receipt(await rig.do(Operation.UPDATE, married, refs=refs, terms=terms, unknown=True))
        assert site.state.users[42].lastname == "King"
        assert site.state.enrolments[42, 7].timeend == int(END.replace(day=nth + 1).timestamp())
