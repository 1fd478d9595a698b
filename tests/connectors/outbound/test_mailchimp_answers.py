"""Every row of Mailchimp's table of errors, and the settings that can't be meant."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic import ValidationError

from bridge.contract.outbound import NeedsOperator, Receipt, Refused, TryLater
from connectors.outbound.mailchimp.plan import subscriber_hash
from connectors.sandbox.mailchimp import LIST
from tests.connectors.outbound.mailchimp_rig import (
    ADAS,
    REQUEST_ID,
    AtMailchimp,
    contact,
    problem,
    reset,
    settings,
)
from tests.suites.outbound import ADA, Rig


class TestTable(AtMailchimp):
    """Every row of the vendor's table of errors."""

    @pytest.mark.parametrize(
        ("kind", "words"),
        [
            ("compliance", "HTTP 400 Member In Compliance State"),
            ("forgotten", "HTTP 400 Forgotten Email Not Subscribed"),
            ("fake", "looks fake or invalid"),
        ],
    )
    async def test_an_unwelcome_address_needs_a_person(self, rig: Rig, kind: str, words: str) -> None:
        """For this address only; the reason is told, the address is not."""
        getattr(rig.emulator, kind).add(str(ADA.email).lower())
        outcome = await contact(rig)
        assert isinstance(outcome, Refused if kind == "fake" else NeedsOperator)
        assert getattr(outcome, "scope", "delivery") == "delivery"
        assert words in outcome.why
        assert "Lovelace" not in outcome.why
        assert outcome.remedy
        assert len(rig.emulator.journal) == 1

    async def test_a_busy_signer_up_waits_for_hours_twice_at_most(self, rig: Rig) -> None:
        """It is this address's own trouble, and the third time it is the operator's."""
        rig.emulator.crowded.add(str(ADA.email).lower())
        steps: frozenset[str] = frozenset()
        for attempt in (4, 5):  # earlier tries met an outage, which says nothing of the address
            outcome = await contact(rig, attempt=attempt, steps=steps)
            assert isinstance(outcome, TryLater)
            assert (outcome.scope, outcome.cause, outcome.applied) == ("delivery", "busy", "no")
            assert outcome.after is not None
            assert outcome.after >= 3600
            steps |= outcome.steps
        assert isinstance(await contact(rig, attempt=6, steps=steps), Refused)
        assert isinstance(await contact(rig, attempt=1, steps=steps), TryLater)  # requeued

    async def test_an_invalid_resource_names_its_fields(self, rig: Rig) -> None:
        """The operator knows what to correct."""
        errors = [{"field": "COURSE", "message": "Value must be a number"}, {"field": "", "message": "Odd"}]
        rig.emulator.now_fails("status", status=400, body=problem("Invalid Resource", errors=errors))
        outcome = await contact(rig)
        assert isinstance(outcome, Refused)
        assert "COURSE: Value must be a number, resource: Odd" in outcome.why

    @pytest.mark.parametrize(
        ("status", "body"),
        [(400, problem("Bad Request")), (400, "<html></html>"), (405, {}), (414, {}), (422, {})],
    )
    async def test_any_other_4xx_is_refused(self, rig: Rig, status: int, body: Any) -> None:
        """Repeating it would change nothing."""
        rig.emulator.now_fails("status", status=status, body=body)
        assert isinstance(await contact(rig), Refused)

    async def test_403_without_json_throttles_the_lane(self, rig: Rig) -> None:
        """The edge refuses that way at high volume."""
        rig.emulator.now_fails("status", status=403, body="<html>Request Blocked</html>")
        outcome = await contact(rig)
        assert isinstance(outcome, TryLater)
        assert (outcome.scope, outcome.cause, outcome.applied) == ("lane", "throttled", "no")

    @pytest.mark.parametrize("status", [401, 403])
    async def test_a_refused_key_stops_the_lane(self, rig: Rig, status: int) -> None:
        """401 with anything, 403 with JSON."""
        rig.emulator.now_fails("status", status=status, body=problem("User Does Not Have Permission", status))
        outcome = await contact(rig)
        assert isinstance(outcome, NeedsOperator)
        assert outcome.scope == "lane"
        assert "User Does Not Have Permission" in outcome.why
        assert "api_key" in outcome.remedy

    async def test_a_wrong_key_is_told_by_the_ping(self, rig: Rig) -> None:
        """``bridge doctor`` says it before the first learner comes."""
        reset(rig, api_key=settings().api_key)
        outcome = await rig.connector.check()
        assert isinstance(outcome, NeedsOperator)
        assert "API Key Invalid" in outcome.why

    async def test_a_ping_that_answers_html_is_an_outage(self, rig: Rig) -> None:
        """A captive proxy is not Mailchimp."""
        rig.emulator.now_fails("garbage")
        outcome = await rig.connector.check()
        assert isinstance(outcome, TryLater)
        assert outcome.cause == "outage"

    async def test_a_wrong_list_of_the_target_stops_the_lane(self, rig: Rig) -> None:
        """No learner would fare better."""
        rig.emulator.lists = {"other"}
        outcome = await contact(rig)
        assert isinstance(outcome, NeedsOperator)
        assert outcome.scope == "lane"
        assert LIST in outcome.why

    async def test_a_wrong_list_of_a_course_concerns_its_own_learners(self, rig: Rig) -> None:
        """The target's list and later lists are served all the same."""
        rig.emulator.lists = {LIST, "ghi789"}
        wrong = rig.enrollment("law", table={"list_id": "def456", "tags": ["law"]})
        right = rig.enrollment("art", table={"list_id": "ghi789", "tags": ["art"]})
        outcome = await contact(rig, enrollments=[wrong, right])
        assert isinstance(outcome, NeedsOperator)
        assert outcome.scope == "delivery"
        assert "def456" in outcome.why
        assert rig.emulator.members["ghi789"][ADAS].tags == ["art"]

    async def test_a_list_that_may_yet_take_the_person_is_not_given_up(self, rig: Rig) -> None:
        """One list refuses for good, the other for hours: the delivery is tried again."""
        forgotten = problem("Forgotten Email Not Subscribed")
        crowded = problem("Invalid Resource", detail="has signed up to a lot of lists very recently")
        rig.emulator.now_fails("status", status=400, body=forgotten, path=LIST)
        rig.emulator.now_fails("status", status=400, body=crowded, path="def456")
        other = rig.enrollment("law", table={"list_id": "def456"})
        assert isinstance(await contact(rig, enrollments=[other]), TryLater)

    async def test_the_id_of_the_request_is_kept(self, rig: Rig) -> None:
        """Mailchimp's support asks for it: from the header, or from the body."""
        rig.emulator.now_fails("status", status=500, body={}, headers={"X-Request-Id": "from-the-header"}, times=1)
        rig.emulator.now_fails("status", status=503, body=problem("Service Unavailable", 503), times=1)
        first, second = await contact(rig), await contact(rig)
        assert isinstance(first, TryLater)
        assert isinstance(second, TryLater)
        assert "from-the-header" in first.why
        assert REQUEST_ID in second.why

    async def test_one_bridge_stays_below_the_vendors_limit(self, rig: Rig) -> None:
        """However many want to speak at once, so many connections are open as the operator allows."""
        rig.emulator.latency = 0.02
        outcomes = await asyncio.gather(*(rig.connector.check() for _ in range(20)))
        assert all(isinstance(outcome, Receipt) for outcome in outcomes)
        assert rig.emulator.most_open == 4

    async def test_three_bridges_meet_the_vendors_limit(self, rig: Rig) -> None:
        """Ten at a time are answered; the eleventh is told to be slower, and slows its lane."""
        rig.emulator.latency = 0.3
        bridges = [rig.connector]
        for _ in range(2):
            reset(rig)
            bridges.append(rig.connector)
        outcomes = await asyncio.gather(*(bridge.check() for bridge in bridges for _ in range(4)))
        throttled = [outcome for outcome in outcomes if not isinstance(outcome, Receipt)]
        assert len(throttled) == 2
        assert all((outcome.scope, outcome.cause) == ("lane", "throttled") for outcome in throttled)


class TestSettings:
    """What the operator may write."""

    def test_the_address_follows_from_the_key(self) -> None:
        """The data centre is what follows the last hyphen."""
        assert settings().base_url == "https://us19.api.mailchimp.com/3.0"
        assert settings(api_key="odd-key-eu2").base_url == "https://eu2.api.mailchimp.com/3.0"

    @pytest.mark.parametrize("address", ["http://localhost:9", "http://localhost:9/3.0", "http://localhost:9/3.0/"])
    def test_a_given_address_wins_and_gets_the_version(self, address: str) -> None:
        """Once, however it is written."""
        assert settings(base_url=address, api_key="token").base_url == "http://localhost:9/3.0"

    @pytest.mark.parametrize("key", ["0123456789abcdef", "key-", "key-evil.example/us1"])
    def test_a_key_without_a_data_centre_needs_an_address(self, key: str) -> None:
        """The fault says what to do, and doesn't repeat the key."""
        with pytest.raises(ValidationError, match="or set base_url") as caught:
            settings(api_key=key)
        assert key not in str(caught.value)

    @pytest.mark.parametrize("template", ["{lerner.email}", "{course}", "{item.quantity}"])
    def test_a_template_that_names_nothing_is_a_fault(self, template: str) -> None:
        """A merge field that is always empty is found before the first learner."""
        with pytest.raises(ValidationError, match=r"COURSE: .* is not known"):
            settings(merge_fields={"COURSE": template})

    def test_a_template_with_half_a_placeholder_is_a_fault(self) -> None:
        """Else every member of the list would carry the template itself."""
        with pytest.raises(ValidationError, match="FNAME: has a brace too many or too few"):
            settings(merge_fields={"FNAME": "{learner.first_name"})

    def test_the_vendors_connections_are_not_exceeded(self) -> None:
        """Four by default, ten at most."""
        assert settings().concurrency == 4
        with pytest.raises(ValidationError):
            settings(concurrency=11)

    def test_hashes_as_the_vendor_documents(self) -> None:
        """The vendor's own example; case and white space don't count."""
        assert subscriber_hash("Urist.McVankab@freddiesjokes.com") == "62eeb292278cc15f5817cb78f7790b08"
        assert subscriber_hash(" urist.mcvankab@freddiesjokes.com ") == "62eeb292278cc15f5817cb78f7790b08"

    def test_a_key_of_another_data_centre_than_the_address_is_a_fault(self) -> None:
        """Mailchimp would only say that the key is invalid."""
        with pytest.raises(ValidationError, match="base_url names data centre us6 and api_key another one, us19"):
            settings(base_url="https://us6.api.mailchimp.com/3.0")
        assert settings(base_url="https://us19.api.mailchimp.com").base_url == "https://us19.api.mailchimp.com/3.0"

    def test_batches_have_a_threshold(self) -> None:
        """Twenty by default; below zero means nothing."""
        assert settings().batch_from == 20
        with pytest.raises(ValidationError):
            settings(batch_from=-1)
