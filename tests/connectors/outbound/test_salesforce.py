"""Salesforce as a target: the suite, then what only Salesforce does."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic import ValidationError

from bridge.contract.command import Learner
from bridge.contract.errors import AnswerLost, Unreachable
from bridge.contract.outbound import NeedsOperator, Operation, Receipt, Refs, Refused, TryLater
from connectors.outbound.salesforce import CONNECTOR
from tests.connectors.outbound.salesforce_rig import ADAS, answers, configured, paths
from tests.suites.outbound import ADA, BOB, OutboundSuite, Rig

CLIENT = {"connector": "salesforce", "client_id": "key", "client_secret": "shh"}
HOME = "https://example.my.salesforce.com"


class TestSalesforce(OutboundSuite):
    """One Contact per learner, by external id."""

    type = "salesforce"
    course = None
    first = Operation.CONTACT
    requests = 3

    async def test_upserts_by_external_id_and_says_the_id_once(self, rig: Rig) -> None:
        """The documented call: the value percent-encoded in the path, and not in the body."""
        outcome = await rig.do(Operation.CONTACT)
        assert isinstance(outcome, Receipt)
        (contact_id,) = rig.emulator.contacts
        assert len(contact_id) == 18
        assert outcome == Receipt(Refs(person={"contact": contact_id}), "created")
        sent = rig.emulator.journal[-1]
        assert paths(rig) == [f"PATCH sobjects/Contact/Bridge_Id__c/{ADAS}"]
        assert sent.json == {"FirstName": "Ada", "LastName": "Lovelace", "Email": "Ada.Lovelace@example.org"}
        assert rig.emulator.contacts[contact_id]["Bridge_Id__c"] == ADAS

    async def test_an_external_id_of_any_characters_reaches_the_one_contact(self, rig: Rig) -> None:
        """A slash, a question mark or a space is part of the value, not of the address."""
        odd = Learner(remote_user_id="a/b?c d%2F#ü", email="odd@example.org", last_name="Odd")
        outcome, (*_, exchange) = await rig.told(Operation.CONTACT, odd)
        assert isinstance(outcome, Receipt)
        assert "/Bridge_Id__c/id%3Amembers%3Aa%2Fb%3Fc%20d%252F%23%C3%BC" in exchange.url
        assert [held["Bridge_Id__c"] for held in rig.emulator.contacts.values()] == ["id:members:a/b?c d%2F#ü"]

    async def test_the_second_time_is_an_update(self, rig: Rig) -> None:
        """A changed name follows."""
        await rig.do(Operation.CONTACT)
        outcome = await rig.do(Operation.CONTACT, ADA.model_copy(update={"last_name": "King"}))
        assert isinstance(outcome, Receipt)
        assert outcome.note == "updated"
        assert [held["LastName"] for held in rig.emulator.contacts.values()] == ["King"]

    async def test_the_mapping_fills_fields_from_the_latest_enrollment(self, rig: Rig) -> None:
        """Fields are the operator's; a last name is sent whether or not it was mapped."""
        contact = {"external_id": "Person__c", "Last_Course__c": "{course.title}", "State__c": "{registration.state}"}
        configured(rig, contact={**contact, "Order__c": "No. {order.number}"})
        rig.emulator.schema().add("Person__c", external_id=True, unique=True)
        for name in ("Last_Course__c", "State__c", "Order__c"):
            rig.emulator.schema().add(name)
        latest = rig.enrollment("art", state="cancelled")
        assert isinstance(await rig.do(Operation.CONTACT, enrollments=(rig.enrollment(), latest)), Receipt)
        (held,) = rig.emulator.contacts.values()
        assert held == {
            "Person__c": ADAS,
            "LastName": "Lovelace",
            "Last_Course__c": "Introduction to Continuing Education",
            "State__c": "cancelled",
            "Order__c": "No. A-1001",
        }

    @pytest.mark.parametrize(("email", "sent"), [("ada@example.org", "ada"), (None, "-")])
    async def test_a_new_contact_without_a_last_name_gets_one(self, rig: Rig, email: str | None, sent: str) -> None:
        """Salesforce takes no contact without it, and says so."""
        nameless = Learner(remote_user_id="4711", email=email)
        assert isinstance(await rig.do(Operation.CONTACT, nameless), Receipt)
        (held,) = rig.emulator.contacts.values()
        assert held["LastName"] == sent
        assert paths(rig) == ["PATCH sobjects/Contact/Bridge_Id__c/id:members:4711"] * 2

    async def test_what_the_sender_does_not_know_stays_as_it_is(self, rig: Rig) -> None:
        """A name that was made up must not replace one that a colleague typed in."""
        await rig.do(Operation.CONTACT, ADA)
        nameless = Learner(remote_user_id="4711", email="ada@example.org")
        assert isinstance(await rig.do(Operation.CONTACT, nameless), Receipt)
        assert rig.emulator.journal[-1].json == {"Email": "ada@example.org"}
        (held,) = rig.emulator.contacts.values()
        assert (held["FirstName"], held["LastName"]) == ("Ada", "Lovelace")

    async def test_no_last_name_is_made_up_where_another_field_is_missing(self, rig: Rig) -> None:
        """Another field that the org requires is the operator's; one more call would fare no better."""
        answers(rig, 400, "REQUIRED_FIELD_MISSING", fields=["Chapter__c"])
        assert isinstance(await rig.do(Operation.CONTACT, Learner(remote_user_id="4711")), Refused)
        assert len(paths(rig)) == 1

    async def test_a_lost_answer_to_an_insert_leaves_one_contact(self, rig: Rig) -> None:
        """The repeat finds the external id and updates."""
        await rig.connector.check()
        rig.emulator.now_fails("lost", times=1, method="PATCH")
        with pytest.raises(AnswerLost):
            await rig.do(Operation.CONTACT)
        outcome = await rig.do(Operation.CONTACT, unknown=True)
        assert isinstance(outcome, Receipt)
        assert (outcome.note, len(rig.emulator.contacts)) == ("updated", 1)


class TestSession:
    """Logging in, renewing, and where a session may go."""

    rig = OutboundSuite.rig
    type, target, course = "salesforce", {}, None

    async def test_one_login_serves_many_deliveries(self, rig: Rig) -> None:
        """Never one per request; concurrent ones share it."""
        await asyncio.gather(*(rig.do(Operation.CONTACT, person) for person in (ADA, BOB, ADA, BOB)))
        assert rig.emulator.logins == 1

    async def test_an_expired_session_is_renewed_once_and_the_call_repeated(self, rig: Rig) -> None:
        """Its end is no fault of the delivery."""
        first = await rig.do(Operation.CONTACT)
        rig.emulator.expire_sessions()
        rig.emulator.journal.clear()
        assert isinstance(await rig.do(Operation.CONTACT, refs=first.refs), Receipt)
        assert [seen.method for seen in rig.emulator.journal] == ["PATCH", "POST", "PATCH"]

    async def test_a_session_refused_twice_stops_the_lane(self, rig: Rig) -> None:
        """A new session that is refused too is a wrong instance, or an app that was switched off."""
        answers(rig, 401, "INVALID_SESSION_ID", "Session expired or invalid")
        outcome = await rig.do(Operation.CONTACT)
        assert isinstance(outcome, NeedsOperator)
        assert (outcome.scope, "INVALID_SESSION_ID" in outcome.why) == ("lane", True)
        assert rig.emulator.logins == 2
        assert len(paths(rig)) == 2

    async def test_a_wrong_secret_stops_the_lane_with_the_vendors_words(self, rig: Rig) -> None:
        """The operator reads why, and not what the secret is."""
        configured(rig, client_secret="not-the-one")
        for outcome in [await rig.do(Operation.CONTACT), await rig.connector.check()]:
            assert isinstance(outcome, NeedsOperator)
            assert outcome.scope == "lane"
            assert "invalid_grant, authentication failure - invalid client credentials" in outcome.why

    async def test_too_many_logins_slow_the_lane(self, rig: Rig) -> None:
        """It is a limit, though its status is 400."""
        rig.emulator.now_fails("status", status=400, body={"error": "rate_limit_exceeded"}, path="oauth2")
        outcome = await rig.do(Operation.CONTACT)
        assert isinstance(outcome, TryLater)
        assert (outcome.scope, outcome.cause, outcome.after) == ("lane", "throttled", 300.0)

    @pytest.mark.parametrize(
        "told",
        [
            "http://elsewhere.example.org",
            "ftp://x.example.org",
            "https://",
            "https://u@h.example.org",
            "h",
            "https://[",
            "https://h:99999",
        ],
    )
    async def test_a_session_is_not_sent_to_an_unsafe_address(self, rig: Rig, told: str) -> None:
        """An instance_url in the clear, of another host, would hand the session to whoever listens."""
        rig.emulator.instance_url = told
        outcome = await rig.do(Operation.CONTACT)
        assert isinstance(outcome, NeedsOperator)
        assert (outcome.scope, "instance_url" in outcome.why, paths(rig)) == ("lane", True, [])

    async def test_the_api_is_called_where_the_token_answer_says(self, rig: Rig) -> None:
        """The login host and the instance may differ, as long as the instance speaks TLS."""
        rig.emulator.instance_url = rig.emulator.base_url.replace("http://", "https://")
        with pytest.raises(Unreachable, match="TLS"):
            await rig.do(Operation.CONTACT)


class TestSettings:
    """What the operator may write."""

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"base_url": "https://login.salesforce.com"}, "My Domain"),
            ({"base_url": "https://TEST.salesforce.com/"}, "My Domain"),
            ({"base_url": "example.my.salesforce.com"}, "https://example"),
            ({"contact": {"Title": "{person.title}"}}, "person.title"),
            ({"contact": {"Title": "{learner.first_name"}}, "Title: has a brace too many or too few"),
            ({"contact": {"Bridge_Id__c": "{learner.email}"}}, "Bridge_Id__c"),
            ({"contact": {"external_id": "A/B"}}, "external_id"),
            ({"contact": {"Title": 7}}, "contact.Title"),
            ({"api_version": "v60"}, "api_version"),
            ({"api_version": "51.0", "duplicates": "allow"}, "52.0"),
            ({"duplicates": "merge"}, "duplicates"),
        ],
    )
    def test_a_fault_says_what_was_expected(self, changes: dict[str, Any], said: str) -> None:
        """Before anything is sent."""
        with pytest.raises(ValidationError, match=said):
            CONNECTOR.Settings.model_validate({**CLIENT, "base_url": HOME, **changes})

    def test_base_url_is_required_and_the_rest_has_defaults(self) -> None:
        """Nobody's org is the default."""
        with pytest.raises(ValidationError, match="base_url"):
            CONNECTOR.Settings.model_validate(CLIENT)
        settings: Any = CONNECTOR.Settings.model_validate({**CLIENT, "base_url": HOME})
        assert (settings.api_version, settings.duplicates) == ("60.0", "fail")
        assert settings.contact.external_id == "Bridge_Id__c"
        assert [*settings.contact.templates] == ["FirstName", "LastName", "Email"]
