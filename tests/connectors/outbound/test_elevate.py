"""Elevate as a target: the suite, then what only Elevate does."""

from __future__ import annotations

import pytest

from bridge.contract.command import Cancellation
from bridge.contract.outbound import NeedsOperator, Operation, Receipt, Refused, Terms, TryLater
from tests.suites.outbound import ADA, LmsSuite, Rig


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
        assert "Remote Product ID field" in outcome.remedy

    @pytest.mark.parametrize(
        ("field", "error"),
        [("remote_product_id", "no-such-product"), ("email", "learner-refused"), ("amount_paid", "refused")],
    )
    async def test_each_refused_field_has_its_own_next_step(self, rig: Rig, field: str, error: str) -> None:
        """What is wrong with the mapping is not looked for at the learner, and the other way round."""
        rig.emulator.now_fails("status", status=422, body={"error_messages": {field: "The field is invalid."}})
        outcome = await rig.do(Operation.GRANT)
        assert isinstance(outcome, Refused)
        assert outcome.remedy == rig.connector.errors[error].next_step

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
