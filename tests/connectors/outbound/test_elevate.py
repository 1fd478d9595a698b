"""Elevate as a target: the suite, then what only Elevate does."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from pydantic import ValidationError

from bridge.contract.command import Cancellation
from bridge.contract.outbound import NeedsOperator, Operation, Receipt, Refused, Terms, TryLater
from connectors.outbound.elevate import ElevateSettings
from tests.suites.outbound import ADA, LmsSuite, OutboundSuite, Rig


class TestElevate(LmsSuite):
    """The Registration API as a client."""

    type = "elevate"

    async def test_sends_the_documented_fields(self, rig: Rig) -> None:
        """The body is the one of the vendor's page."""
        await rig.do(Operation.GRANT, terms=Terms(send_email=True))
        assert rig.emulator.journal[-1].json == {
            "api_key": "sandbox-elevate-key",
            "remote_user_id": "4711",
            "firstname": "Ada",
            "lastname": "Lovelace",
            "email": "Ada.Lovelace@example.org",
            "remote_product_id": "ABCD1234",
            "amount_paid": "49.90",
            "send_email": True,
        }

    async def test_the_course_table_may_name_another_product(self, rig: Rig) -> None:
        """What was bought is only the default."""
        await rig.do(Operation.GRANT, table={"remote_product_id": "OTHER"})
        assert rig.emulator.journal[-1].json["remote_product_id"] == "OTHER"

    async def test_an_unknown_product_is_refused_with_the_targets_words(self, rig: Rig) -> None:
        """The operator reads what Elevate said."""
        rig.emulator.products = {"ELSE"}
        outcome = await rig.do(Operation.GRANT)
        assert isinstance(outcome, Refused)
        assert "The requested product could not be found." in outcome.why

    async def test_a_wrong_key_stops_the_lane(self, rig: Rig) -> None:
        """Nothing that is queued would fare better."""
        rig.emulator.now_fails("status", status=422, body={"error_messages": {"api_key": "The API key is not valid."}})
        outcome = await rig.do(Operation.GRANT)
        assert isinstance(outcome, NeedsOperator)
        assert outcome.scope == "lane"

    async def test_cancels_with_the_texts_of_the_cancellation(self, rig: Rig) -> None:
        """What the AMS wanted said is said."""
        granted = await rig.do(Operation.GRANT)
        assert isinstance(granted, Receipt)
        texts = Cancellation(
            admin_email="office@example.org", admin_text="moved", notify_learner=False, learner_text="bye"
        )
        await rig.do(Operation.REVOKE, refs=granted.refs, cancellation=texts)
        assert rig.emulator.journal[-1].json == {
            "api_key": "sandbox-elevate-key",
            "registration_id": 583919,
            "cancellations_email": "office@example.org",
            "cancellation_explanation": "moved",
            "notify_cancelled_user": False,
            "cancellation_explanation_for_user": "bye",
        }

    async def test_no_mail_on_an_update(self, rig: Rig) -> None:
        """A changed name is no reason to write to the learner again."""
        granted = await rig.do(Operation.GRANT, terms=Terms(send_email=True))
        assert isinstance(granted, Receipt)
        await rig.do(Operation.UPDATE, ADA, refs=granted.refs, terms=Terms(send_email=True))
        assert len(rig.emulator.mails) == 1

    async def test_a_proxys_404_is_an_outage_and_no_revocation(self, rig: Rig) -> None:
        """Only Elevate itself can say that a registration is gone."""
        granted = await rig.do(Operation.GRANT)
        assert isinstance(granted, Receipt)
        rig.emulator.now_fails("status", status=404, body="<html>not found</html>")
        for operation in (Operation.REVOKE, Operation.GRANT):
            outcome = await rig.do(operation, refs=granted.refs)
            assert isinstance(outcome, TryLater)
            assert outcome.cause == "outage"
        assert not isinstance(await rig.connector.check(), Receipt)

    @pytest.mark.parametrize(("status", "field"), [(404, "registration"), (422, "registration_id"), (200, "order")])
    async def test_any_word_of_elevate_but_on_the_key_says_that_it_is_well(
        self, rig: Rig, status: int, field: str
    ) -> None:
        """The vendor publishes no name for a registration that is not there, and an open breaker waits for this answer."""
        rig.emulator.now_fails("status", status=status, body={"error_messages": {field: "could not be found"}})
        assert isinstance(await rig.connector.check(), Receipt)

    @pytest.mark.parametrize(("status", "field"), [(422, "api_key"), (200, "api_key"), (401, "x"), (403, "x")])
    async def test_a_word_on_the_key_says_that_it_is_not(self, rig: Rig, status: int, field: str) -> None:
        """By the field or by the status."""
        rig.emulator.now_fails("status", status=status, body={"error_messages": {field: "no"}})
        assert isinstance(await rig.connector.check(), NeedsOperator)

    @pytest.mark.parametrize("status", [429, 500, 503])
    async def test_a_server_in_trouble_is_not_well(self, rig: Rig, status: int) -> None:
        """Whatever it says."""
        rig.emulator.now_fails("status", status=status, body={"error_messages": {"server": "busy"}})
        assert isinstance(await rig.connector.check(), TryLater)

    @pytest.mark.parametrize(
        "body", [{"error_messages": "No."}, {"error_messages": ["No."]}, {"success": False}, False]
    )
    async def test_a_no_in_another_form_cancels_nothing(self, rig: Rig, body: Any) -> None:
        """Taken for a yes, somebody who was paid back would stay in."""
        granted = await rig.do(Operation.GRANT)
        rig.emulator.now_fails("status", status=200, body=body, path="/registrations/cancel")
        assert isinstance(await rig.do(Operation.REVOKE, refs=granted.refs), Refused | TryLater)

    async def test_a_key_that_is_refused_in_words_alone_stops_the_lane(self, rig: Rig) -> None:
        """It concerns everybody."""
        rig.emulator.now_fails("status", status=200, body={"error_messages": "The API key is invalid."})
        outcome = await rig.do(Operation.GRANT)
        assert isinstance(outcome, NeedsOperator)
        assert outcome.scope == "lane"

    @pytest.mark.parametrize("status", [200, 204])
    async def test_a_cancellation_may_be_answered_by_nothing(self, rig: Rig, status: int) -> None:
        """The vendor prints no answer of the Cancellation API; one of the Registration API without an id stays none."""
        granted = await rig.do(Operation.GRANT)
        assert isinstance(granted, Receipt)
        rig.emulator.now_fails("status", status=status, body="")
        assert await rig.do(Operation.REVOKE, refs=granted.refs) == Receipt(granted.refs)
        assert isinstance(await rig.connector.check(), Receipt)
        assert isinstance(await rig.do(Operation.GRANT), TryLater)

    async def test_revokes_the_registration_whose_answer_was_lost(self, rig: Rig) -> None:
        """The id that is known may be that of an earlier registration, cancelled long ago."""
        first = await rig.do(Operation.GRANT)
        assert isinstance(first, Receipt)
        await rig.do(Operation.REVOKE, refs=first.refs)
        await rig.do(Operation.GRANT)  # its answer never arrived: nobody knows the new id
        outcome = await rig.do(Operation.REVOKE, refs=first.refs, unknown=True)
        assert isinstance(outcome, Receipt)
        assert rig.live() == []

    async def test_an_answer_without_an_id_is_no_receipt(self, rig: Rig) -> None:
        """A cancellation would have nothing to name."""
        for value in ("", True, None, "abc"):
            rig.emulator.now_fails("status", status=200, times=1, body={"product_url": "x", "registration_id": value})
            assert isinstance(await rig.do(Operation.GRANT), TryLater)

    @pytest.mark.parametrize(
        ("field", "status", "name"),
        [
            ("product", 422, "no-such-product"),
            ("remote_product_id", 200, "no-such-product"),
            ("email", 422, "person-refused"),
            ("remote_user_id", 400, "person-refused"),
            ("amount_paid", 422, "registration-refused"),
        ],
    )
    async def test_what_elevate_says_of_a_field_is_told_apart(
        self, rig: Rig, field: str, status: int, name: str
    ) -> None:
        """An operator reads what is wrong and what to do, then Elevate's own words, without the learner in them."""
        body = {"error_messages": {field: f"not taken for {ADA.email}"}}
        rig.emulator.now_fails("status", status=status, body=body)
        outcome = await rig.do(Operation.GRANT)
        assert isinstance(outcome, Refused)
        assert outcome.remedy == rig.connector.errors[name].next_step
        assert field in outcome.why
        assert str(ADA.email) not in outcome.why

    async def test_a_learner_without_an_address_is_not_sent(self, rig: Rig) -> None:
        """Elevate needs one, and the source has to tell it."""
        outcome = await rig.do(Operation.GRANT, ADA.model_copy(update={"email": None}))
        assert outcome == rig.connector.errors["no-email"].refused("")
        assert rig.emulator.journal == []

    async def test_the_doctor_speaks_to_the_registration_api_without_registering(self, rig: Rig) -> None:
        """One request with a key and nothing else; no product can be looked up."""
        (finding,) = await rig.connector.examine(rig.tables(), fix=False)
        assert (finding.what, finding.ok) == ("Registration API", True)
        assert [(seen.path, seen.json) for seen in rig.emulator.journal] == [
            ("/api/registrations", {"api_key": "sandbox-elevate-key"})
        ]
        assert rig.emulator.holdings() == []

    @pytest.mark.parametrize(
        ("status", "body"),
        [(422, {"error_messages": {"api_key": "no"}}), (404, "<html>"), (503, "<html>"), (302, ""), (200, "<html>")],
    )
    async def test_the_doctor_says_when_the_registration_api_is_not_there(
        self, rig: Rig, status: int, body: object
    ) -> None:
        """A wrong address, a wrong key, an outage: each with what to do."""
        rig.emulator.now_fails("status", status=status, body=body)
        (finding,) = await rig.connector.examine(rig.tables(), fix=False)
        assert not finding.ok
        assert finding.said
        assert finding.remedy


class TestElevateByAnotherField(OutboundSuite):
    """``user_id`` names where the Unique User ID stands."""

    type = "elevate"
    target: ClassVar[dict[str, Any]] = {"user_id": "learner.email"}

    async def test_people_are_known_by_the_field(self, rig: Rig) -> None:
        """The one that is part of the SSO set-up at Elevate."""
        await rig.do(Operation.GRANT)
        assert rig.emulator.journal[-1].json["remote_user_id"] == ADA.email

    async def test_a_learner_without_the_field_is_not_sent(self, rig: Rig) -> None:
        """Known as nobody, all of them would be one person at Elevate."""
        rig.connector._settings = rig.connector._settings.model_copy(update={"user_id": "learner.attributes.member"})
        outcome = await rig.do(Operation.GRANT)
        assert isinstance(outcome, Refused)
        assert outcome.remedy == rig.connector.errors["no-user-id"].next_step
        assert rig.emulator.journal == []


@pytest.mark.parametrize("path", ["remote_user_id", "learner", "learner.id", "learner.email.x", "learner.attributes"])
def test_a_field_that_no_learner_has_is_a_fault(path: str) -> None:
    """Said when the configuration is read, with an example of what was meant."""
    given = {"connector": "elevate", "base_url": "https://lms.example.org", "api_key": "k", "user_id": path}
    with pytest.raises(ValidationError, match=r"expected a field of the learner, such as \"learner.remote_user_id\""):
        ElevateSettings.model_validate(given)
