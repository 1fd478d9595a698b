"""HubSpot as a target: the suite, then what only HubSpot does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from bridge.contract.command import Learner, email_key
from bridge.contract.outbound import NeedsOperator, Operation, Outcome, Receipt, Refs, Refused, Repeat, TryLater, Work
from bridge.dispatch.retry import RetryPolicy, decide
from bridge.kit.clock import SystemClock
from connectors.outbound.hubspot import HubspotSettings
from connectors.sandbox.hubspot import TOKEN
from tests.connectors.outbound.hubspot_rig import CONTACTS, OnTheRig, Ticking, configured, paths, problem
from tests.suites.outbound import ADA, BOB, OutboundSuite, Rig


def people(count: int) -> list[Learner]:
    return [Learner(email=f"learner{n}@example.org", first_name=f"First{n}") for n in range(count)]


def batch_of(rig: Rig, learners: list[Learner]) -> list[Work]:
    return [rig.work(Operation.CONTACT, one, key=f"contact-{n}") for n, one in enumerate(learners)]


class TestHubspot(OutboundSuite):
    """The contacts API as a client."""

    type = "hubspot"
    course = None
    first = Operation.CONTACT

    async def test_sends_the_documented_fields(self, rig: Rig) -> None:
        """The body is the one of the facts: the e-mail as id and as a property, our key as trace id."""
        await rig.do(Operation.CONTACT, key="contact-1")
        (seen,) = rig.emulator.journal
        assert (seen.method, seen.path) == ("POST", f"{CONTACTS}/batch/upsert")
        assert seen.headers["Authorization"] == f"Bearer {TOKEN}"
        (sent,) = seen.json["inputs"]
        properties = {"email": "ada.lovelace@example.org", "firstname": "Ada", "lastname": "Lovelace"}
        assert sent.pop("properties") == properties
        assert sent == {"id": properties["email"], "idProperty": "email", "objectWriteTraceId": "contact-1"}

    async def test_the_receipt_keeps_the_id_and_the_address_last_sent(self, rig: Rig) -> None:
        """The next delivery sees from them whether the address has changed."""
        outcome = await rig.do(Operation.CONTACT)
        assert outcome == Receipt(Refs(person={"contact": "512", "email": email_key(str(ADA.email))}), "created")
        assert (await rig.do(Operation.CONTACT)).note == ""

    async def test_templates_see_the_enrollment_that_changed_last(self, rig: Rig) -> None:
        """Course, registration and order are those of the last enrollment."""
        table = {"last_course": "{course.title}", "company": "{order.number}/{registration.registration_id}"}
        older = rig.enrollment("other")
        newer = replace(rig.enrollment(), course=replace(older.course, title="Continuing Education"))
        await configured(rig, contact=table).do(Operation.CONTACT, enrollments=(older, newer))
        (held,) = rig.emulator.holdings()
        assert held.what == "company=A-1001/7, last_course=Continuing Education"

    async def test_an_empty_value_does_not_wipe_what_a_colleague_typed_in(self, rig: Rig) -> None:
        """Only a state is cleared, when nothing stands behind it any more."""
        table = {"phone": "{learner.phone}", "last_course_state": "{registration.state}"}
        await configured(rig, contact=table).do(Operation.CONTACT)
        held = rig.emulator.by_email("ada.lovelace@example.org").properties
        assert held == {"last_course_state": "active"}
        held["phone"] = "+33100000000"
        bare = replace(rig.work(Operation.CONTACT), enrollments=())
        await rig.deliver([bare])
        assert held == {"phone": "+33100000000"}

    @pytest.mark.parametrize(
        ("setting", "named"),
        [
            ({"contact": {"firstname": "{person.first_name}"}}, "{person.first_name}"),
            ({"contact": {"firstname": "{learner.frist_name}"}}, "{learner.frist_name}"),
            ({"contact": {"firstname": "{learner}"}}, "{learner}"),
            ({"contact": {"email": "{learner.email}"}}, "is always sent"),
            ({"contact": {"firstname": "{learner.first_name"}}, "firstname: has a brace too many or too few"),
            ({"api_version": "v4"}, "api_version"),
            ({"api_version": "2026-03/x"}, "api_version"),
        ],
    )
    def test_a_setting_that_cannot_be_meant_is_a_fault(self, setting: dict[str, Any], named: str) -> None:
        """The operator learns it from `bridge check`, not from a contact without a name."""
        with pytest.raises(ValidationError, match=next(iter(setting))) as fault:
            HubspotSettings(connector="hubspot", token="t", **setting)
        assert named in str(fault.value)

    async def test_a_learner_without_address_is_refused(self, rig: Rig) -> None:
        """HubSpot knows people by e-mail; the others of the batch go through."""
        nobody = Learner(remote_user_id="9", first_name="No", last_name="Address")
        outcomes = await rig.deliver(batch_of(rig, [nobody, BOB]))
        assert isinstance(outcomes[0], Refused)
        assert "e-mail" in outcomes[0].why
        assert isinstance(outcomes[1], Receipt)

    async def test_date_versions_have_other_paths(self, rig: Rig) -> None:
        """The version moves behind `objects`."""
        configured(rig, api_version="2026-03")
        assert isinstance(await rig.do(Operation.CONTACT), Receipt)
        assert isinstance(await rig.connector.check(), Receipt)
        seen = [recorded.path for recorded in rig.emulator.journal]
        assert seen == ["/crm/objects/2026-03/contacts/batch/upsert", "/crm/objects/2026-03/contacts"]


class TestBatches(OnTheRig):
    """Up to a hundred contacts in one request, and what happens when one of them is bad."""

    async def test_a_hundred_contacts_are_one_request(self, rig: Rig) -> None:
        """Each gets its own id, though HubSpot answers in another order."""
        learners = people(100)
        outcomes = await rig.deliver(batch_of(rig, learners))
        assert paths(rig) == [("POST", "/contacts/batch/upsert")]
        for learner, outcome in zip(learners, outcomes, strict=True):
            held = rig.emulator.by_email(str(learner.email))
            assert isinstance(outcome, Receipt)
            assert outcome.refs.person["contact"] == held.id
            assert held.properties["firstname"] == learner.first_name

    async def test_results_are_found_by_trace_id_or_address(self, rig: Rig) -> None:
        """The trace id is optional in HubSpot's schema; the address may be another one of the same contact."""
        bob = {"id": "bob", "properties": {"email": "bob@Example.org"}}
        results = [bob, {"id": "ada", "properties": {"email": "x@king.example"}, "objectWriteTraceId": "contact-0"}]
        rig.emulator.now_fails("status", status=200, body={"status": "COMPLETE", "results": results})
        outcomes = await rig.deliver(batch_of(rig, [Learner(email="Ada@example.org"), BOB]))
        assert [outcome.refs.person["contact"] for outcome in outcomes] == ["ada", "bob"]
        assert len(rig.emulator.journal) == 1

    async def test_one_bad_member_of_a_207_is_isolated(self, rig: Rig) -> None:
        """The others have their receipts from the first request; the bad one is asked about once more, alone."""
        rig.emulator.invalid = {"learner3@example.org"}
        outcomes = await rig.deliver(batch_of(rig, people(5)))
        assert [type(outcome) for outcome in outcomes] == [Receipt, Receipt, Receipt, Refused, Receipt]
        assert [len(seen.json["inputs"]) for seen in rig.emulator.journal] == [5, 1]
        assert "INVALID_EMAIL" in outcomes[3].why
        assert "learner3@example.org" not in outcomes[3].why
        assert len(rig.live()) == 4

    @pytest.mark.parametrize("status", [400, 409])
    async def test_a_batch_refused_whole_is_sent_contact_by_contact(self, rig: Rig, status: int) -> None:
        """HubSpot does not say which one it was."""
        rig.emulator.now_fails("status", times=1, status=status, body=problem("VALIDATION_ERROR"))
        rig.emulator.invalid = {"learner1@example.org"}
        outcomes = await rig.deliver(batch_of(rig, people(3)))
        assert [type(outcome) for outcome in outcomes] == [Receipt, Refused, Receipt]
        assert [len(seen.json["inputs"]) for seen in rig.emulator.journal] == [3, 1, 1, 1]

    async def test_splitting_stops_when_the_lane_is_throttled(self, rig: Rig) -> None:
        """Whoever has not had a turn shares that outcome, without another request."""
        rig.emulator.now_fails("status", times=1, status=400, body=problem("VALIDATION_ERROR"))
        rig.emulator.now_fails("status", after=1, status=429, body=problem("RATE_LIMITS", policyName="SECONDLY"))
        outcomes = await rig.deliver(batch_of(rig, people(4)))
        assert [type(outcome) for outcome in outcomes] == [Receipt, TryLater, TryLater, TryLater]
        assert len(rig.emulator.journal) == 3

    async def test_splitting_ends_before_the_deadline(self, rig: Rig) -> None:
        """A hundred single calls may take longer than a delivery may; the rest has its turn next time."""
        rig.connector._clock = Ticking(SystemClock().now())
        rig.emulator.now_fails("status", times=1, status=400, body=problem("VALIDATION_ERROR"))
        outcomes = await rig.deliver(batch_of(rig, people(6)))
        assert [type(outcome) for outcome in outcomes] == [Receipt] * 2 + [TryLater] * 4
        assert {outcome.scope for outcome in outcomes[2:]} == {"delivery"}

    @pytest.mark.parametrize("other", ["ADA.lovelace@EXAMPLE.org", "ada.lovelace@example.org"])
    async def test_one_address_twice_is_sent_once(self, rig: Rig, other: str) -> None:
        """HubSpot refuses a batch that names one address twice; the later work wins and both get its outcome."""
        later = Learner(email=other, first_name="Augusta", last_name="King")
        outcomes = await rig.deliver(batch_of(rig, [ADA, BOB, later]))
        assert paths(rig) == [("POST", "/contacts/batch/upsert")]
        assert len(rig.emulator.contacts) == 2
        assert rig.emulator.by_email(other).properties == {"firstname": "Augusta", "lastname": "King"}
        assert isinstance(outcomes[0], Receipt)
        assert outcomes[0] == outcomes[2] != outcomes[1]


class TestChangedAddress(OnTheRig):
    """A person whose e-mail at HubSpot is an earlier one."""

    async def known(self, rig: Rig) -> Refs:
        refs = (await rig.do(Operation.CONTACT)).refs
        rig.emulator.journal.clear()
        return refs

    async def moved(self, rig: Rig, refs: Refs, *others: Work) -> Sequence[Outcome]:
        married = ADA.model_copy(update={"email": "ada@king.example"})
        return await rig.deliver([rig.work(Operation.CONTACT, married, refs=refs), *others])

    async def test_the_known_contact_gets_the_new_address(self, rig: Rig) -> None:
        """No second contact; the refs remember the new address."""
        refs = await self.known(rig)
        (outcome,) = await self.moved(rig, refs)
        assert isinstance(outcome, Receipt), outcome
        assert outcome.refs.person == {"contact": "512", "email": "ada@king.example"}
        assert paths(rig) == [("PATCH", "/contacts/512")]
        assert [one.email for one in rig.emulator.contacts.values()] == ["ada@king.example"]

    async def test_another_spelling_is_no_change(self, rig: Rig) -> None:
        """Case does not make another address."""
        refs = await self.known(rig)
        shouting = ADA.model_copy(update={"email": str(ADA.email).upper()})
        outcome = await rig.do(Operation.CONTACT, shouting, refs=refs)
        assert isinstance(outcome, Receipt)
        assert paths(rig) == [("POST", "/contacts/batch/upsert")]

    async def test_a_contact_that_is_gone_is_made_again(self, rig: Rig) -> None:
        """Somebody deleted it at HubSpot."""
        refs = await self.known(rig)
        rig.emulator.contacts.clear()
        (outcome,) = await self.moved(rig, refs)
        assert isinstance(outcome, Receipt)
        assert outcome.refs.person == {"contact": "513", "email": "ada@king.example"}
        assert "gone" in outcome.note

    async def test_an_address_that_another_contact_has_updates_that_one(self, rig: Rig) -> None:
        """The note tells the operator of the contact that was left."""
        await rig.do(Operation.CONTACT, Learner(email="ada@king.example", first_name="Somebody"))
        refs = await self.known(rig)
        (outcome,) = await self.moved(rig, refs)
        assert isinstance(outcome, Receipt)
        assert outcome.refs.person == {"contact": "512", "email": "ada@king.example"}
        assert "513" in outcome.note
        assert "example" not in outcome.note
        assert rig.emulator.contacts["512"].properties["firstname"] == "Ada"
        assert rig.emulator.contacts["513"].email == "ada.lovelace@example.org"

    async def test_an_address_that_hubspot_refuses_is_refused(self, rig: Rig) -> None:
        """The answer to the PATCH is judged like every other; the rest of the batch goes on."""
        refs = await self.known(rig)
        rig.emulator.invalid = {"ada@king.example"}
        refused, done = await self.moved(rig, refs, rig.work(Operation.CONTACT, BOB))
        assert isinstance(refused, Refused)
        assert isinstance(done, Receipt)

    async def test_a_throttled_change_holds_back_the_batch(self, rig: Rig) -> None:
        """The limit is the account's, so nothing else is sent into it."""
        refs = await self.known(rig)
        rig.emulator.now_fails("status", status=429, body=problem("RATE_LIMITS", policyName="DAILY"))
        outcomes = await self.moved(rig, refs, rig.work(Operation.CONTACT, BOB))
        assert outcomes[0] == outcomes[1]
        assert paths(rig) == [("PATCH", "/contacts/512")]


class TestLimits(OnTheRig):
    """The lane learns HubSpot's limit from HubSpot."""

    def windows(self, rig: Rig) -> list[tuple[int, float]]:
        return [tuple(one.rate) for one in rig.connector._http._limiter._windows]

    async def test_the_limit_of_the_account_is_learnt(self, rig: Rig) -> None:
        """From the first answer on, and what other programs used of it counts too."""
        rig.emulator.limit = 190
        assert self.windows(rig) == []
        await rig.do(Operation.CONTACT)
        assert self.windows(rig) == [(190, 10.0)]
        window = rig.connector._http._limiter._windows[0]
        assert len(window.used) == 1
        rig.emulator._calls.extend([rig.emulator._calls[0]] * 40)
        await rig.do(Operation.CONTACT)
        assert len(window.used) == 42

    @pytest.mark.parametrize(
        "told",
        [
            {},
            {"X-HubSpot-RateLimit-Max": "190"},
            {"X-HubSpot-RateLimit-Max": "many", "X-HubSpot-RateLimit-Interval-Milliseconds": "10000"},
            {"X-HubSpot-RateLimit-Max": "0", "X-HubSpot-RateLimit-Interval-Milliseconds": "10000"},
        ],
    )
    async def test_what_is_no_limit_is_not_learnt(self, rig: Rig, told: dict[str, str]) -> None:
        """A search's answer has none of the headers, and a proxy may drop one."""
        rig.emulator.now_fails("status", status=503, body=problem("OUTAGE"), headers=told)
        await rig.do(Operation.CONTACT)
        assert self.windows(rig) == []

    async def test_the_daily_limit_parks_the_lane_for_an_hour(self, rig: Rig) -> None:
        """It ends at midnight of the account's own time zone, so it is asked again every hour."""
        rig.emulator.daily = 1
        assert isinstance(await rig.do(Operation.CONTACT), Receipt)
        outcome = await rig.do(Operation.CONTACT)
        assert isinstance(outcome, TryLater)
        assert (outcome.scope, outcome.cause, outcome.after) == ("lane", "throttled", 3600.0)
        assert self.windows(rig) == [(100_000, 10.0)]


class TestAnswers(OnTheRig):
    """HubSpot's table of answers."""

    async def answered(self, rig: Rig, status: int, body: Any, **headers: str) -> Outcome:
        rig.emulator.now_fails("status", status=status, body=body, headers=headers)
        return await rig.do(Operation.CONTACT)

    @pytest.mark.parametrize(("policy", "after"), [("TEN_SECONDLY_ROLLING", 10), ("SECONDLY", 1), ("DAILY", 3600)])
    async def test_a_limit_waits_as_its_policy_says(self, rig: Rig, policy: str, after: float) -> None:
        """The daily one parks the lane; a hint of the answer itself goes first."""
        body = {"status": "error", "message": "limit", "errorType": "RATE_LIMIT", "policyName": policy}
        outcome = await self.answered(rig, 429, body)
        assert isinstance(outcome, TryLater)
        assert (outcome.scope, outcome.cause, outcome.after) == ("lane", "throttled", after)
        rig.emulator.recovers()
        hinted = await self.answered(rig, 429, body, **{"Retry-After": "33"})
        assert hinted.after == 33.0

    async def test_an_account_in_migration_waits_up_to_a_day(self, rig: Rig) -> None:
        """477 concerns the whole account and says for how long; dispatch asks again within the hour, and counts nothing."""
        outcome = await self.answered(rig, 477, problem("MIGRATION_IN_PROGRESS"), **{"Retry-After": "86400"})
        assert isinstance(outcome, TryLater)
        assert (outcome.scope, outcome.after, outcome.applied) == ("lane", 86_400.0, "no")
        next_ = decide(outcome, 3, 60.0, Repeat.KEYED, RetryPolicy(), 0.5)
        assert (next_.result, next_.delay, next_.attempts, next_.age) == ("later", 3600.0, 3, 60.0)

    @pytest.mark.parametrize(("hint", "after"), [({}, 2.0), ({"Retry-After": "1"}, 2.0), ({"Retry-After": "9"}, 9.0)])
    async def test_a_locked_record_waits_two_seconds_at_least(self, rig: Rig, hint: Any, after: float) -> None:
        """423 is this record's own trouble."""
        outcome = await self.answered(rig, 423, problem("LOCKED"), **hint)
        assert isinstance(outcome, TryLater)
        assert (outcome.scope, outcome.cause, outcome.after) == ("delivery", "busy", after)

    @pytest.mark.parametrize("status", [521, 522, 523, 524, 525, 526])
    async def test_trouble_at_the_edge_is_an_outage(self, rig: Rig, status: int) -> None:
        """The page that comes with it is not HubSpot's."""
        outcome = await self.answered(rig, status, "<html>error</html>")
        assert isinstance(outcome, TryLater)
        assert (outcome.cause, outcome.applied) == ("outage", "unknown")

    async def test_a_missing_scope_is_named(self, rig: Rig) -> None:
        """The operator can give it without reading an API reference."""
        rig.emulator.scopes = {"crm.objects.contacts.read"}
        outcome = await rig.do(Operation.CONTACT)
        assert isinstance(outcome, NeedsOperator)
        assert outcome.scope == "lane"
        assert "crm.objects.contacts.write" in outcome.why
        assert "contacts.read" not in outcome.why

    async def test_a_wrong_token_stops_the_lane(self, rig: Rig) -> None:
        """HubSpot's own words and the correlation id are kept; the token is not."""
        outcome = await configured(rig, token="pat-na1-wrong").do(Operation.CONTACT)
        assert isinstance(outcome, NeedsOperator)
        assert "INVALID_AUTHENTICATION" in outcome.why
        assert "pat-na1-wrong" not in outcome.why + outcome.remedy

    async def test_an_unknown_property_names_the_table_to_correct(self, rig: Rig) -> None:
        """One request: a batch of one needs no splitting."""
        outcome = await configured(rig, contact={"shoe_size": "{learner.last_name}"}).do(Operation.CONTACT)
        assert isinstance(outcome, Refused)
        assert "shoe_size" in outcome.why
        assert "[targets.NAME.contact]" in outcome.remedy
        assert "Create the property" in outcome.remedy
        assert len(rig.emulator.journal) == 1

    async def test_a_refused_value_is_not_quoted(self, rig: Rig) -> None:
        """HubSpot repeats the value in its message; the operator sees the rest, and the id to quote to support."""
        nested = [{"message": "'LOVELACE' was not one of the options for ada.lovelace@example.org"}]
        outcome = await self.answered(rig, 400, problem("VALIDATION_ERROR", "Ada: bad", errors=nested))
        assert isinstance(outcome, Refused)
        assert outcome.why == (
            "HubSpot does not take the values as they are. Upsert the contact: HTTP 400 VALIDATION_ERROR: •••: bad; '•••' was not one of the options for •••"
            " (correlation id c033cdaa-2c40)"
        )

    @pytest.mark.parametrize(
        ("message", "name"),
        [
            ('[{"error":"PROPERTY_DOESNT_EXIST","name":"shoe_size"}]', "no-such-property"),
            ('[{"error":"READ_ONLY_VALUE","name":"createdate"}]', "read-only-property"),
            ('[{"error":"INVALID_OPTION","name":"lifecyclestage"}]', "no-such-option"),
            ('[{"error":"INVALID_EMAIL","name":"email"}]', "bad-address"),
            ("Unable to parse value", "refused"),
        ],
    )
    async def test_a_refusal_says_which_of_the_known_ones_it_is(self, rig: Rig, message: str, name: str) -> None:
        """Each with what to do about it; HubSpot's category is the same for all."""
        outcome = await self.answered(
            rig, 400, problem("VALIDATION_ERROR", f"Property values were not valid: {message}")
        )
        assert isinstance(outcome, Refused)
        known = rig.connector.errors[name]
        assert (outcome.why.startswith(known.sentence), outcome.remedy) == (True, known.next_step)

    async def test_a_property_that_nobody_may_write_is_told(self, rig: Rig) -> None:
        """As the emulator refuses it."""
        outcome = await configured(rig, contact={"createdate": "{registration.registered_at}"}).do(Operation.CONTACT)
        assert isinstance(outcome, Refused)
        assert outcome.why.startswith("HubSpot lets nobody write a property")

    async def test_a_wrong_address_is_the_lanes_trouble(self, rig: Rig) -> None:
        """An upsert finds no 404 but that of a wrong path, and then every delivery would."""
        outcome = await self.answered(rig, 404, "<html>not found</html>")
        assert isinstance(outcome, NeedsOperator)
        assert outcome.scope == "lane"
        assert "api_version" in outcome.remedy

    @pytest.mark.parametrize(
        ("category", "kind"),
        [
            ("VALIDATION_ERROR", Refused),
            ("RATE_LIMITS", TryLater),
            ("MISSING_SCOPES", NeedsOperator),
            ("NEW", TryLater),
        ],
    )
    async def test_the_error_of_a_207_is_judged_by_its_category(self, rig: Rig, category: str, kind: type) -> None:
        """Its status is a success for the batch and says nothing of the member."""
        body = {"status": "COMPLETE", "results": [], "numErrors": 1, "errors": [problem(category)]}
        assert isinstance(await self.answered(rig, 207, body), kind)

    @pytest.mark.parametrize("body", [{"status": "COMPLETE", "results": []}, {"results": [{"id": None}]}, [], "page"])
    async def test_a_success_that_confirms_nothing_is_no_receipt(self, rig: Rig, body: Any) -> None:
        """Nobody knows what came of it."""
        outcome = await self.answered(rig, 200, body)
        assert isinstance(outcome, TryLater)
        assert (outcome.cause, outcome.applied) == ("outage", "unknown")

    @pytest.mark.parametrize("message", ["Contact already exists. Existing ID: 512", "Contact already exists."])
    async def test_a_conflict_updates_the_contact_in_the_way(self, rig: Rig, message: str) -> None:
        """By the id that HubSpot names, else by the address."""
        await rig.do(Operation.CONTACT)
        rig.emulator.now_fails("status", status=409, body=problem("CONFLICT", message), path="upsert")
        outcome = await rig.do(Operation.CONTACT, ADA.model_copy(update={"last_name": "King"}))
        assert isinstance(outcome, Receipt), outcome
        assert outcome.refs.person["contact"] == "512"
        assert rig.emulator.contacts["512"].properties["lastname"] == "King"
        assert rig.emulator.journal[-1].method == "PATCH"

    async def test_a_conflict_that_quotes_a_value_names_no_contact_by_it(self, rig: Rig) -> None:
        """People choose their names: nobody else's contact is written because of one."""
        await rig.do(Operation.CONTACT, BOB)
        before = dict(rig.emulator.contacts["512"].properties)
        message = "Cannot set nickname, value=Existing ID: 512: another record already has that value."
        rig.emulator.now_fails("status", status=409, body=problem("CONFLICT", message), path="upsert")
        await rig.do(Operation.CONTACT)
        assert rig.emulator.contacts["512"].properties == before

    async def test_a_conflict_about_nothing_but_the_address(self, rig: Rig) -> None:
        """An update has to say something."""
        rig.emulator.now_fails("status", status=409, body=problem("CONFLICT"), path="upsert")
        await configured(rig, contact={}).do(Operation.CONTACT)
        assert rig.emulator.journal[-1].json == {"properties": {"email": "ada.lovelace@example.org"}}

    async def test_a_conflict_with_nothing_is_tried_later(self, rig: Rig) -> None:
        """The contact was deleted in between; the next upsert makes it."""
        rig.emulator.now_fails("status", times=1, status=409, body=problem("CONFLICT", "Contact already exists."))
        outcome = await rig.do(Operation.CONTACT)
        assert isinstance(outcome, TryLater)
        assert outcome.cause == "busy"
