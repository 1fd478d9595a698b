"""Thinkific as a target: the suite, then what only Thinkific does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import aiohttp
import pytest
from pydantic import ValidationError

from bridge.contract.command import Learner
from bridge.contract.outbound import NeedsOperator, Operation, Receipt, Refs, Refused, Terms, TryLater
from bridge.contract.settings import Rate
from bridge.kit.clock import SetClock
from bridge.kit.http import Http, Windows
from connectors.outbound.thinkific import CONNECTOR
from connectors.outbound.thinkific.api import reset_after
from connectors.sandbox.thinkific import TOKEN
from tests.suites.outbound import ADA, BOB, LmsSuite, Rig

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
UNTIL = datetime(2099, 1, 1, 12, 30, tzinfo=UTC)
ROOT = "/api/public/v1"


def sent(rig: Rig) -> list[tuple[str, str]]:
    return [(seen.method, seen.path.removeprefix(ROOT)) for seen in rig.emulator.journal]


def only(rig: Rig) -> dict[str, Any]:
    (row,) = rig.emulator.enrollments.values()
    return row


class TestThinkific(LmsSuite):
    """The Admin API as a client."""

    type = "thinkific"
    course: ClassVar[dict[str, Any] | None] = {"course_id": 42}
    missing: ClassVar[dict[str, Any] | None] = {"course_id": 9_999}
    requests = 3

    async def test_sends_the_documented_bodies(self, rig: Rig) -> None:
        """Search, create, enroll: with the headers of the site, and a start, for else it would be a free trial."""
        rig.connector = CONNECTOR(rig.connector._settings, rig.connector._http, SetClock(NOW))
        await rig.do(Operation.GRANT, terms=Terms(expires_at=UNTIL, send_email=True))
        search, create, enroll = rig.emulator.journal
        assert search.headers["X-Auth-API-Key"] == "sandbox-thinkific-key"
        assert search.headers["X-Auth-Subdomain"] == "school"
        assert (search.path, search.query["query[email]"]) == (f"{ROOT}/users", "Ada.Lovelace@example.org")
        assert create.json == {
            "email": "Ada.Lovelace@example.org",
            "first_name": "Ada",
            "last_name": "Lovelace",
            "send_welcome_email": True,
        }
        assert enroll.json == {
            "user_id": 5001,
            "course_id": 42,
            "activated_at": "2026-11-22T10:00:00Z",
            "expiry_date": "2099-01-01T12:30:00Z",
        }

    async def test_a_nameless_person_gets_the_names_that_are_required(self, rig: Rig) -> None:
        """Thinkific takes no empty one; and no wish for mail is told where there is none."""
        await rig.do(Operation.GRANT, Learner(email="grace@example.org"))
        assert rig.emulator.journal[1].json == {"email": "grace@example.org", "first_name": "grace", "last_name": "-"}

    async def test_looks_for_the_enrollment_before_it_makes_one(self, rig: Rig) -> None:
        """A second one is not documented as harmless; what is there as it is wanted is not written again."""
        user = rig.emulator.add_user("ada.lovelace@example.org", roles=["course_admin"], company="Engines")
        number = rig.emulator.add_enrollment(user, 42, activated_at="2026-01-01T00:00:00Z")
        outcome = await rig.do(Operation.GRANT)
        assert outcome == Receipt(Refs({"user": str(user)}, {"enrollment": str(number)}))
        assert sent(rig) == [("GET", "/users"), ("GET", "/enrollments")]
        assert rig.emulator.journal[-1].query["query[user_id]"] == str(user)
        assert rig.emulator.journal[-1].query["query[course_id]"] == "42"
        assert rig.emulator.users[user]["roles"] == ["course_admin"]

    async def test_a_search_that_shows_others_too_finds_the_right_one(self, rig: Rig) -> None:
        """The search is not documented to be exact."""
        rig.emulator.add_user("not.ada.lovelace@example.org")
        assert isinstance(await rig.do(Operation.GRANT), Receipt)
        assert rig.live() == [("ada.lovelace@example.org", "42")]

    async def test_a_pending_enrollment_is_activated(self, rig: Rig) -> None:
        """Bought is more than tried."""
        user = rig.emulator.add_user(str(ADA.email))
        rig.emulator.add_enrollment(user, 42)
        assert isinstance(await rig.do(Operation.GRANT), Receipt)
        assert rig.live() == [("ada.lovelace@example.org", "42")]

    async def test_the_end_is_set_moved_and_taken_off(self, rig: Rig) -> None:
        """As the order says it each time, and written only where it differs."""
        granted = await rig.do(Operation.GRANT, terms=Terms(expires_at=UNTIL))
        assert isinstance(granted, Receipt)
        later = UNTIL + timedelta(days=30)
        await rig.do(Operation.UPDATE, refs=granted.refs, terms=Terms(expires_at=later))
        assert only(rig)["expiry_date"] == "2099-01-31T12:30:00Z"
        writes = [way for way in sent(rig) if way[0] == "PUT"]
        await rig.do(Operation.UPDATE, refs=granted.refs, terms=Terms(expires_at=later))
        assert [way for way in sent(rig) if way[0] == "PUT"] == writes
        endless = await rig.do(Operation.UPDATE, refs=granted.refs)
        assert endless == Receipt(granted.refs)
        assert only(rig)["expiry_date"] is None

    async def test_an_end_that_cannot_be_taken_off_is_put_far_away(self, rig: Rig) -> None:
        """Whether null clears it is not documented: it is read back, so that nobody who bought again stays out."""
        rig.emulator.clears = False
        granted = await rig.do(Operation.GRANT)
        assert isinstance(granted, Receipt)
        await rig.do(Operation.REVOKE, refs=granted.refs)
        again = await rig.do(Operation.GRANT, refs=granted.refs)
        assert isinstance(again, Receipt)
        assert "2999" in again.note
        assert rig.live() == [("ada.lovelace@example.org", "42")]
        assert len(rig.emulator.enrollments) == 1

    @pytest.mark.parametrize("end", [None, UNTIL])
    async def test_an_enrollment_that_stays_expired_is_no_access(self, rig: Rig, end: datetime | None) -> None:
        """Who bought again is not told to be in; the next try, once somebody has opened it, is a receipt."""
        rig.emulator.reopens = False
        given = await rig.do(Operation.GRANT)
        await rig.do(Operation.REVOKE, refs=given.refs)
        for _ in range(2):
            again = await rig.do(Operation.GRANT, terms=Terms(expires_at=end), refs=given.refs)
            assert isinstance(again, TryLater)
            assert "expired" in again.why
        (row,) = rig.emulator.enrollments.values()
        row["closed"] = False
        assert isinstance(await rig.do(Operation.GRANT, terms=Terms(expires_at=end), refs=given.refs), Receipt)

    async def test_an_end_that_is_over_already_is_written_and_not_waited_for(self, rig: Rig) -> None:
        """Nobody is to be in by it."""
        over = Terms(expires_at=datetime.now(UTC) - timedelta(days=1))
        given = await rig.do(Operation.GRANT, terms=over)
        assert isinstance(await rig.do(Operation.UPDATE, terms=over, refs=given.refs), Receipt)

    async def test_a_revocation_ends_every_enrollment_in_the_past_and_deletes_none(self, rig: Rig) -> None:
        """There is no delete; what had ended before keeps its date."""
        rig.connector = CONNECTOR(rig.connector._settings, rig.connector._http, SetClock(NOW))
        user = rig.emulator.add_user(str(ADA.email))
        start = {"activated_at": "2025-01-01T00:00:00Z"}
        old = rig.emulator.add_enrollment(user, 42, **start, expiry_date="2025-02-01T00:00:00Z")
        twice = [rig.emulator.add_enrollment(user, 42, **start) for _ in range(2)]
        other = rig.emulator.add_enrollment(user, 43, **start)
        assert isinstance(await rig.do(Operation.REVOKE), Receipt)
        assert rig.emulator.enrollments[old]["expiry_date"] == "2025-02-01T00:00:00Z"
        assert [rig.emulator.enrollments[one]["expiry_date"] for one in twice] == ["2026-11-22T09:55:00Z"] * 2
        assert rig.emulator.enrollments[other]["expiry_date"] is None

    async def test_revoking_from_somebody_unknown_is_done(self, rig: Rig) -> None:
        """No account is made for it."""
        outcome = await rig.do(Operation.REVOKE)
        assert isinstance(outcome, Receipt)
        assert "no such user" in outcome.note
        assert rig.emulator.users == {}
        rig.emulator.add_user(str(ADA.email))
        outcome = await rig.do(Operation.REVOKE)
        assert isinstance(outcome, Receipt)
        assert "no access" in outcome.note

    async def test_an_update_writes_what_differs_and_nothing_else(self, rig: Rig) -> None:
        """Neither roles nor a name that the source leaves empty."""
        user = rig.emulator.add_user(str(ADA.email), first_name="Ada", last_name="Lovelace", roles=["affiliate"])
        changed = Learner(email="ada.king@example.org", last_name="King")
        outcome = await rig.do(Operation.UPDATE, changed, refs=Refs({"user": str(user)}))
        assert isinstance(outcome, Receipt)
        put = next(seen for seen in rig.emulator.journal if seen.method == "PUT")
        assert put.json == {"last_name": "King", "email": "ada.king@example.org"}
        assert rig.emulator.users[user] == {
            "email": "ada.king@example.org",
            "first_name": "Ada",
            "last_name": "King",
            "roles": ["affiliate"],
        }

    async def test_an_update_of_what_is_so_already_writes_nothing(self, rig: Rig) -> None:
        """Reading is enough."""
        granted = await rig.do(Operation.GRANT)
        assert isinstance(granted, Receipt)
        before = len(rig.emulator.journal)
        assert await rig.do(Operation.UPDATE, refs=granted.refs) == Receipt(granted.refs)
        assert [seen.method for seen in rig.emulator.journal[before:]] == ["GET", "GET"]

    async def test_a_grant_leaves_the_account_of_a_known_person_alone(self, rig: Rig) -> None:
        """They may have chosen another name there."""
        user = rig.emulator.add_user(str(ADA.email), first_name="Countess", last_name="L.")
        await rig.do(Operation.GRANT)
        assert rig.emulator.users[user]["first_name"] == "Countess"

    async def test_a_remembered_user_saves_the_search(self, rig: Rig) -> None:
        """And is used though the address at Thinkific is another one."""
        user = rig.emulator.add_user("countess@example.org")
        assert isinstance(await rig.do(Operation.GRANT, refs=Refs({"user": str(user)})), Receipt)
        assert sent(rig) == [("GET", "/enrollments"), ("POST", "/enrollments")]
        assert rig.live() == [("countess@example.org", "42")]

    @pytest.mark.parametrize("operation", [Operation.GRANT, Operation.UPDATE])
    async def test_a_remembered_user_who_is_gone_is_found_anew(self, rig: Rig, operation: Operation) -> None:
        """Deleted at Thinkific, or made again under another number."""
        outcome = await rig.do(operation, refs=Refs({"user": "1"}, {"enrollment": "2"}))
        assert isinstance(outcome, Receipt)
        assert outcome.refs.person["user"] != "1"
        assert rig.live() == [("ada.lovelace@example.org", "42")]

    async def test_a_revocation_finds_the_account_that_was_made_anew(self, rig: Rig) -> None:
        """Nothing is held under the remembered number, and yet the person is in."""
        assert isinstance(await rig.do(Operation.GRANT), Receipt)
        assert isinstance(await rig.do(Operation.REVOKE, refs=Refs({"user": "1"})), Receipt)
        assert rig.live() == []

    async def test_an_account_that_appears_meanwhile_is_used(self, rig: Rig) -> None:
        """Somebody registered between our search and our create."""
        user = rig.emulator.add_user(str(ADA.email))
        empty = {"items": [], "meta": {}}
        rig.emulator.now_fails("status", status=200, times=1, path="/users", method="GET", body=empty)
        outcome = await rig.do(Operation.GRANT)
        assert isinstance(outcome, Receipt)
        assert outcome.refs.person == {"user": str(user)}
        assert len(rig.emulator.users) == 1

    async def test_data_that_is_refused_is_the_persons_trouble(self, rig: Rig) -> None:
        """On making the account, and on changing it; the answer's words are quoted."""
        rig.emulator.now_fails(
            "status", status=422, path="/users", method="POST", body={"errors": {"email": ["is odd"]}}
        )
        outcome = await rig.do(Operation.GRANT)
        assert isinstance(outcome, Refused)
        assert "is odd" in outcome.why
        rig.emulator.recovers()
        rig.emulator.add_user("ada.king@example.org")
        user = rig.emulator.add_user(str(ADA.email))
        married = ADA.model_copy(update={"email": "ada.king@example.org"})
        outcome = await rig.do(Operation.UPDATE, married, refs=Refs({"user": str(user)}))
        assert isinstance(outcome, Refused)
        assert "merge" in outcome.remedy

    @pytest.mark.parametrize(("status", "kind"), [(422, Refused), (403, NeedsOperator)])
    async def test_an_address_that_can_not_be_written_keeps_no_later_end_from_anybody(
        self, rig: Rig, status: int, kind: type
    ) -> None:
        """Access is brought up to date before, and the lane goes on: not every credential may change an address."""
        granted = await rig.do(Operation.GRANT)
        rig.emulator.now_fails("status", status=status, path="/users", method="PUT", body={"error": "Forbidden"})
        moved = ADA.model_copy(update={"email": "ada.king@example.org"})
        outcome = await rig.do(Operation.UPDATE, moved, refs=granted.refs, terms=Terms(expires_at=UNTIL))
        assert isinstance(outcome, kind)
        assert getattr(outcome, "scope", "delivery") == "delivery"
        assert only(rig)["expiry_date"] == "2099-01-01T12:30:00Z"

    async def test_an_unknown_course_keeps_what_was_learnt(self, rig: Rig) -> None:
        """The person is known to the next try."""
        outcome = await rig.do(Operation.GRANT, table={"course_id": 9_999})
        assert isinstance(outcome, NeedsOperator)
        assert outcome.scope == "delivery"
        assert "course_id" in outcome.remedy
        assert outcome.refs.person == {"user": "5001"}

    async def test_an_enrollment_that_is_refused_otherwise_is_quoted(self, rig: Rig) -> None:
        """The operator looks at Thinkific."""
        said = {"errors": ["Course is full"]}
        rig.emulator.now_fails("status", status=422, path="/enrollments", method="POST", body=said)
        outcome = await rig.do(Operation.GRANT)
        assert isinstance(outcome, Refused)
        assert "Course is full" in outcome.why

    async def test_a_plan_without_the_api_stops_the_lane(self, rig: Rig) -> None:
        """No credential would help."""
        rig.emulator.plan = False
        for outcome in (await rig.do(Operation.GRANT), await rig.connector.check()):
            assert isinstance(outcome, NeedsOperator)
            assert outcome.scope == "lane"
            assert "plan" in outcome.why

    async def test_a_learner_without_an_address_is_refused(self, rig: Rig) -> None:
        """Nothing is sent; a revocation goes by the number."""
        nameless = Learner(remote_user_id="4711")
        for operation in (Operation.GRANT, Operation.REVOKE):
            assert isinstance(await rig.do(operation, nameless), Refused)
        assert rig.emulator.journal == []
        granted = await rig.do(Operation.GRANT)
        assert isinstance(granted, Receipt)
        assert isinstance(await rig.do(Operation.REVOKE, nameless, refs=granted.refs), Receipt)
        assert rig.live() == []

    async def test_a_proxys_404_is_an_outage_and_nobodys_absence(self, rig: Rig) -> None:
        """Only Thinkific itself can say that something is gone."""
        granted = await rig.do(Operation.GRANT)
        assert isinstance(granted, Receipt)
        rig.emulator.now_fails("status", status=404, body="<html>not found</html>")
        for operation in (Operation.GRANT, Operation.UPDATE, Operation.REVOKE):
            outcome = await rig.do(operation, refs=granted.refs)
            assert isinstance(outcome, TryLater)
            assert outcome.cause == "outage"

    async def test_a_page_of_html_after_a_write_is_no_receipt(self, rig: Rig) -> None:
        """204 has no body, and a proxy's page is none."""
        granted = await rig.do(Operation.GRANT)
        assert isinstance(granted, Receipt)
        rig.emulator.now_fails("garbage", method="PUT")
        assert isinstance(await rig.do(Operation.REVOKE, refs=granted.refs), TryLater)

    @pytest.mark.parametrize(
        ("method", "path", "body"),
        [
            ("GET", "/users", {"users": []}),
            ("POST", "/users", {"email": "ada@example.org"}),
            ("POST", "/enrollments", {"id": "none"}),
            ("GET", "/users", None),
        ],
    )
    async def test_half_an_answer_is_no_receipt(self, rig: Rig, method: str, path: str, body: object) -> None:
        """It is tried again later, and nobody knows whether it had its effect."""
        rig.emulator.now_fails("status", status=200, method=method, path=path, body=body)
        outcome = await rig.do(Operation.GRANT)
        assert isinstance(outcome, TryLater)
        assert (outcome.cause, outcome.applied) == ("outage", "unknown")

    async def test_ids_written_as_fractions_are_the_same_ids(self, rig: Rig) -> None:
        """The vendor's schema calls them numbers."""
        user = rig.emulator.add_user(str(ADA.email))
        found = {"items": [{"id": float(user), "email": str(ADA.email)}]}
        rig.emulator.now_fails("status", status=200, times=1, path="/users", body=found)
        outcome = await rig.do(Operation.GRANT)
        assert isinstance(outcome, Receipt)
        assert outcome.refs.person == {"user": str(user)}

    @pytest.mark.parametrize(
        ("status", "body", "kind"),
        [
            (404, {"error": "Record not found."}, TryLater),
            (422, {"errors": ["Course could not be found."]}, NeedsOperator),
            (422, {"errors": ["expiry_date is odd"]}, Refused),
            (503, {"error": "busy"}, TryLater),
        ],
    )
    async def test_dates_that_are_not_taken_are_no_receipt(
        self, rig: Rig, status: int, body: object, kind: type[TryLater]
    ) -> None:
        """The access would end on another day than was bought."""
        granted = await rig.do(Operation.GRANT)
        assert isinstance(granted, Receipt)
        rig.emulator.now_fails("status", status=status, method="PUT", path="/enrollments", body=body)
        outcome = await rig.do(Operation.GRANT, refs=granted.refs, terms=Terms(expires_at=UNTIL))
        assert isinstance(outcome, kind)
        assert outcome.refs == granted.refs

    @pytest.mark.parametrize("reset", ["epoch_ms", "epoch_s", "ms"])
    async def test_the_limit_pauses_the_lane_until_it_is_reset(self, rig: Rig, reset: str) -> None:
        """However the vendor writes the time; what was learnt before is kept."""
        rig.emulator.limit, rig.emulator.reset = (2, 40.0), reset
        outcome = await rig.do(Operation.GRANT)
        assert isinstance(outcome, TryLater)
        assert (outcome.scope, outcome.cause) == ("lane", "throttled")
        assert outcome.after is not None
        assert 20 < outcome.after <= 42
        assert outcome.refs.person == {"user": "5001"}

    async def test_the_lane_learns_the_limit(self, rig: Rig) -> None:
        """From the headers where there are any, else the published one once there was too much."""
        windows = Windows([Rate(500, 60.0)], SetClock(NOW))
        async with aiohttp.ClientSession() as session:
            http = Http(rig.emulator.base_url, windows, 10.0, session)
            rig.connector = CONNECTOR(rig.connector._settings, http, SetClock(NOW))
            rig.emulator.now_fails("status", status=429, times=1, body={"error": "slow down"})
            await rig.do(Operation.GRANT, BOB)
            assert windows._windows[0].rate == Rate(120, 60.0)
            headers = {"RateLimit-Limit": "240", "RateLimit-Remaining": "17"}
            rig.emulator.now_fails("status", status=200, times=1, body={"items": []}, headers=headers)
            await rig.connector.check()
            assert windows._windows[0].rate == Rate(240, 60.0)
            assert len(windows._windows[0].used) == 240 - 17

    async def test_the_doctor_asks_once_per_course(self, rig: Rig) -> None:
        """By number, and shows the name that the operator knows it by."""
        tables = [*rig.tables(), *rig.tables({"course_id": "42"}), *rig.tables({"course_id": 43})]
        findings = await rig.connector.examine(tables, fix=True)
        assert [(one.what, one.ok, one.said) for one in findings[1:]] == [
            ("course 42", True, "Course 42"),
            ("course 43", True, "Course 43"),
        ]
        assert {seen.method for seen in rig.emulator.journal} == {"GET"}

    async def test_the_doctor_tells_a_bad_credential_of_each_thing(self, rig: Rig) -> None:
        """With what to do about it."""
        rig.emulator.now_fails("status", status=401, body={"error": "Authentication Error"})
        findings = await rig.connector.examine(rig.tables(), fix=False)
        assert [one.ok for one in findings] == [False, False]
        assert all("api_key" in one.remedy for one in findings)


class TestByToken(LmsSuite):
    """An OAuth app's token instead of the key."""

    type = "thinkific"
    course: ClassVar[dict[str, Any] | None] = {"course_id": "42"}
    target: ClassVar[dict[str, Any]] = {"api_key": TOKEN, "auth": "oauth"}
    requests = 3

    async def test_the_token_stands_alone(self, rig: Rig) -> None:
        """No header of the other way goes along."""
        assert isinstance(await rig.do(Operation.GRANT), Receipt)
        headers = rig.emulator.journal[0].headers
        assert headers["Authorization"] == f"Bearer {TOKEN}"
        assert "X-Auth-API-Key" not in headers


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (str(int(NOW.timestamp() * 1000) + 30_000), 30.0),
        (str(int(NOW.timestamp()) + 30), 30.0),
        ("30000", 30.0),
        ("30", 30.0),
        (str(int(NOW.timestamp()) + 9_000), 120.0),
        (str(int(NOW.timestamp()) - 9), 0.0),
        ("900000000", 120.0),
        ("soon", None),
        ("-5", None),
        ("nan", None),
        ("inf", None),
        ("", None),
    ],
)
def test_the_reset_is_read_in_three_ways_and_capped(text: str, seconds: float | None) -> None:
    """The vendor's pages contradict each other."""
    assert reset_after(text, NOW) == seconds


@pytest.mark.parametrize("value", [0, -1, "intro", "", True, 4.2, "https://x.example/courses/42"])
def test_a_course_that_is_no_number_is_a_fault(value: object) -> None:
    """Its slug would be refused by every call."""
    with pytest.raises(ValidationError):
        CONNECTOR.Course.model_validate({"course_id": value})


def test_two_spellings_of_a_number_are_one_course() -> None:
    """42 and "42" are one right."""
    model = CONNECTOR.Course
    assert model.model_validate({"course_id": 42}) == model.model_validate({"course_id": " 42 "})


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"api_key": "k"}, "subdomain"),
        ({"subdomain": "s"}, "api_key"),
        ({"api_key": "", "subdomain": "s"}, "api_key"),
        ({"api_key": "k", "subdomain": "school.thinkific.com"}, "alone"),
        ({"api_key": "k", "subdomain": "s", "auth": "basic"}, "oauth"),
    ],
)
def test_settings_that_cannot_be_meant_are_faults(given: dict[str, str], said: str) -> None:
    """Said before anything is sent."""
    with pytest.raises(ValidationError, match=said):
        CONNECTOR.Settings.model_validate({"connector": "thinkific", **given})
