"""What every connector promises, proved against its emulator over loopback. A connector's test binds it in one line."""

from __future__ import annotations

import asyncio
import importlib
import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, ClassVar

import aiohttp
import pytest
from pydantic import SecretStr

from bridge.contract.command import Learner, Order
from bridge.contract.errors import AnswerLost, TransportFault, Unreachable
from bridge.contract.outbound import (
    CourseView,
    Enrollment,
    NeedsOperator,
    Operation,
    OutboundConnector,
    Outcome,
    Receipt,
    Refs,
    Refused,
    Repeat,
    Terms,
    TryLater,
    Work,
)
from bridge.contract.settings import CourseTable
from bridge.kit.clock import SystemClock
from bridge.kit.http import Exchange, Http, Windows, exchanges
from bridge.kit.sandbox import Emulator

ADA = Learner(remote_user_id="4711", email="Ada.Lovelace@example.org", first_name="Ada", last_name="Lovelace")
BOB = Learner(remote_user_id="4712", email="bob@example.org", first_name="Bob", last_name="Babbage")


class Rig:
    """One emulator, one connector that speaks to it, and builders for work."""

    def __init__(self, emulator: Emulator, connector: OutboundConnector, course: dict[str, Any] | None) -> None:
        self.emulator = emulator
        self.connector = connector
        self.course = course

    def work(self, operation: Operation, learner: Learner = ADA, **changes: Any) -> Work:
        """Build work as dispatch would: a complete course table for a right, enrollments for a contact."""
        product = changes.pop("remote_product_id", "ABCD1234")
        course, enrollments = None, changes.pop("enrollments", ())
        if operation is Operation.CONTACT:
            enrollments = enrollments or (self.enrollment(),)
        elif self.connector.Course is not None:
            table = self.connector.Course.model_validate(changes.pop("table", self.course or {}))
            course = type(self.connector).course_for(table, product)
        known = (
            f"id:members:{learner.remote_user_id}"
            if self.connector.known_by == "user_id"
            else f"email:{str(learner.email).lower()}"
        )
        return Work(
            delivery_id=1,
            key=changes.pop("key", f"right-{learner.remote_user_id}"),
            operation=operation,
            person=changes.pop("person", known),
            learner=learner,
            course=course,
            remote_product_id=product,
            amount_paid=Decimal("49.90"),
            currency="EUR",
            terms=changes.pop("terms", Terms()),
            enrollments=tuple(enrollments),
            **changes,
        )

    def enrollment(
        self, key: str = "intro-ce", state: str = "active", table: dict[str, Any] | None = None
    ) -> Enrollment:
        """Build one enrollment of a contact."""
        given = table if table is not None else self.course
        model = self.connector.Course
        at = datetime(2026, 11, 22, 10, tzinfo=UTC)
        return Enrollment(
            registration_id=7,
            source="ams",
            remote_product_id="ABCD1234",
            state=state,
            course=CourseView(
                key, "Introduction to Continuing Education", "https://school.example.org/courses/intro-ce"
            ),
            order=Order(number="A-1001", total=Decimal("49.90")),
            amount_paid=Decimal("49.90"),
            currency="EUR",
            registered_at=at,
            changed_at=at,
            table=model.model_validate(given) if model is not None and given is not None else None,
        )

    async def do(self, operation: Operation, learner: Learner = ADA, **changes: Any) -> Outcome:
        """Deliver one piece of work and return its outcome."""
        (outcome,) = await self.deliver([self.work(operation, learner, **changes)])
        return outcome

    async def deliver(self, batch: Sequence[Work]) -> Sequence[Outcome]:
        """Deliver; whatever needs a person is explained by one of the connector's own errors."""
        outcomes = await self.connector.deliver(batch)
        known = {(one.sentence, one.next_step) for one in self.connector.errors.values()}
        for outcome in outcomes:
            if isinstance(outcome, NeedsOperator | Refused):
                assert any(outcome.why.startswith(said) and outcome.remedy == step for said, step in known), outcome
        return outcomes

    async def told(
        self, operation: Operation, learner: Learner = ADA, **changes: Any
    ) -> tuple[Outcome, list[Exchange]]:
        """Deliver and return the outcome with the record that would be kept of it."""
        story: list[Exchange] = []
        token = exchanges.set(story)
        try:
            return await self.do(operation, learner, **changes), story
        finally:
            exchanges.reset(token)

    def tables(self, given: dict[str, Any] | None = None) -> list[CourseTable]:
        """Return complete course tables, as dispatch would hold them."""
        if self.connector.Course is None:
            return []
        table = self.connector.Course.model_validate(self.course or {} if given is None else given)
        return [type(self.connector).course_for(table, "ABCD1234")]

    def forget(self) -> None:
        """Start the connector anew, as a restart of the bridge would: it knows no token."""
        old: Any = self.connector
        self.connector = type(old)(old._settings, old._http, SystemClock())

    def live(self) -> list[tuple[str, str]]:
        """Return who holds what at the emulator, as (lower-case e-mail, what)."""
        return sorted((held.person.lower(), held.what) for held in self.emulator.holdings() if held.live)


class OutboundSuite:
    """Bind it by subclassing in ``tests/connectors/outbound/test_<type>.py``.

    Attributes:
        type: the connector's file name.
        target: settings beside the emulator's own credentials.
        course: the course's table for this target.
        first: the operation that the failure tests use.
        requests: how many requests ``first`` makes at most when all is well, from a cold start.
        missing: a course's table that names something which the emulator doesn't have; None where nothing can be told of it.
    """

    type: ClassVar[str]
    target: ClassVar[dict[str, Any]] = {}
    course: ClassVar[dict[str, Any] | None] = {}
    first: ClassVar[Operation] = Operation.GRANT
    requests: ClassVar[int] = 1
    missing: ClassVar[dict[str, Any] | None] = None

    @pytest.fixture
    async def rig(self):
        module = importlib.import_module(f"connectors.outbound.{self.type}")
        sandbox = importlib.import_module(f"connectors.sandbox.{self.type}")
        emulator: Emulator = sandbox.EMULATOR()
        await emulator.start()
        connector_class: type[OutboundConnector] = module.CONNECTOR
        settings = connector_class.Settings.model_validate(
            {"connector": self.type, "base_url": emulator.base_url, **emulator.credentials, **self.target}
        )
        async with aiohttp.ClientSession() as session:
            clock = SystemClock()
            http = Http(settings.base_url, Windows((), clock), 10.0, session)
            yield Rig(emulator, connector_class(settings, http, clock), self.course)
        await emulator.stop()

    def secrets(self, rig: Rig) -> list[str]:
        """Every secret of the target's settings, in the clear."""
        values = dict(rig.connector._settings).values()
        return [value.get_secret_value() for value in values if isinstance(value, SecretStr)]

    async def test_declares_what_dispatch_needs(self, rig: Rig) -> None:
        """Every operation says why it may be repeated, and an unsafe one is not hidden."""
        kind = type(rig.connector)
        assert kind.operations
        assert all(isinstance(repeat, Repeat) for repeat in kind.operations.values())
        assert kind.stage == (
            "crm" if Operation.CONTACT in kind.operations and Operation.GRANT not in kind.operations else "lms"
        )
        assert kind.batch_size >= 1
        assert kind.__doc__

    async def test_the_same_delivery_twice_has_one_effect(self, rig: Rig) -> None:
        """At least once out, once in effect."""
        first = await rig.do(self.first)
        held = rig.live()
        assert isinstance(first, Receipt), first
        assert len(held) == 1
        again = await rig.do(self.first, refs=first.refs)
        blind = await rig.do(self.first)
        assert isinstance(again, Receipt), again
        assert isinstance(blind, Receipt), blind
        assert rig.live() == held

    async def test_receipt_names_the_remote_id(self, rig: Rig) -> None:
        """An operator can find the record at the target."""
        outcome = await rig.do(self.first)
        assert isinstance(outcome, Receipt)
        held = {item.remote_id for item in rig.emulator.holdings()}
        assert held & ({*outcome.refs.person.values()} | {*outcome.refs.right.values()})

    async def test_an_answer_lost_after_the_effect_is_not_done_twice(self, rig: Rig) -> None:
        """The connection breaks at each request in turn; repeated with ``unknown``, one effect remains."""
        for nth in range(self.requests):
            rig.forget()
            # another person each time: with one that the target knows, a connector that looks first makes fewer requests
            person = ADA.model_copy(update={"remote_user_id": f"471{nth}", "email": f"Ada{nth}@example.org"})
            rig.emulator.now_fails("lost", after=nth, times=1)
            refs = Refs()
            try:
                lost = await rig.do(self.first, person)
            except TransportFault:
                pass
            else:  # a connector that had learnt ids before the answer was lost tells them
                assert isinstance(lost, TryLater), lost
                assert (lost.applied, lost.cause) == ("unknown", "outage")
                refs = lost.refs
                assert refs.person or refs.right
            rig.emulator.recovers()
            outcome = await rig.do(self.first, person, unknown=True, refs=refs)
            assert isinstance(outcome, Receipt), outcome
            assert len(rig.live()) == nth + 1
            assert len(rig.emulator.holdings()) == nth + 1

    async def test_a_cut_connection_is_a_lost_answer(self, rig: Rig) -> None:
        """Nobody knows what the target did, and the connector says so."""
        rig.emulator.now_fails("cut")
        with pytest.raises(AnswerLost):
            await rig.do(self.first)
        assert rig.live() == []

    async def test_a_refused_connection_surely_had_no_effect(self, rig: Rig) -> None:
        """Dispatch may repeat anything after that."""
        await rig.emulator.stop()
        with pytest.raises(Unreachable):
            await rig.do(self.first)

    async def test_a_time_out_is_a_lost_answer(self, rig: Rig) -> None:
        """The target may still be at it."""
        rig.connector._http._timeout = aiohttp.ClientTimeout(total=0.2)
        rig.emulator.now_fails("delay", seconds=0.6)
        with pytest.raises(AnswerLost):
            await rig.do(self.first)

    async def test_throttled_slows_the_lane_for_as_long_as_the_target_asks(self, rig: Rig) -> None:
        """429 is the whole lane's, and costs no attempt."""
        rig.emulator.now_fails("status", status=429, headers={"Retry-After": "7"}, body={"message": "slow down"})
        outcome = await rig.do(self.first)
        assert isinstance(outcome, TryLater), outcome
        assert (outcome.scope, outcome.cause, outcome.after) == ("lane", "throttled", 7.0)

    @pytest.mark.parametrize("status", [500, 502, 503, 504])
    async def test_an_outage_is_tried_later_without_hidden_retries(self, rig: Rig, status: int) -> None:
        """One request, one outcome; dispatch decides what follows."""
        rig.emulator.now_fails("status", status=status, body="<html>upstream</html>")
        outcome = await rig.do(self.first)
        assert isinstance(outcome, TryLater), outcome
        assert outcome.cause == "outage"
        assert len(rig.emulator.journal) == 1

    async def test_a_page_of_html_with_status_200_is_no_receipt(self, rig: Rig) -> None:
        """A captive proxy has enrolled nobody."""
        rig.emulator.now_fails("garbage")
        outcome = await rig.do(self.first)
        assert isinstance(outcome, TryLater), outcome
        assert outcome.cause == "outage"

    async def test_a_refused_credential_stops_the_lane(self, rig: Rig) -> None:
        """The operator is told once, and nothing is lost: it is the lane's trouble, not this delivery's."""
        rig.emulator.now_fails("status", status=401, body={"message": "unauthorised"})
        outcome = await rig.do(self.first)
        assert isinstance(outcome, NeedsOperator), outcome
        assert outcome.scope == "lane"
        assert outcome.remedy

    async def test_neither_secret_nor_learner_reaches_the_record(self, rig: Rig) -> None:
        """What is kept of an attempt can be shown to anybody on call."""
        rig.emulator.now_fails(
            "status", status=400, times=1, path="", body={"message": f"bad {ADA.email}", "detail": ADA.email}
        )
        failed, failed_story = await rig.told(self.first)
        done, story = await rig.told(self.first)
        kept = json.dumps([asdict(item) for item in [*failed_story, *story]], default=str)
        kept += repr(getattr(failed, "why", "")) + repr(getattr(done, "note", ""))
        assert story, "the attempt's exchanges are recorded"
        for word in [*self.secrets(rig), str(ADA.email), str(ADA.email).lower(), "Lovelace"]:
            assert word not in kept

    async def test_a_request_under_way_stands_in_the_record(self, rig: Rig) -> None:
        """A lane that ends lets what has begun end, and gives back the rest: it tells them apart by the record."""
        rig.emulator.now_fails("delay", seconds=20, times=1)
        story: list[Exchange] = []
        token = exchanges.set(story)
        task = asyncio.create_task(rig.do(self.first))
        exchanges.reset(token)
        while not rig.emulator.journal:
            await asyncio.wait([task], timeout=0.01)
            assert not task.done()
        assert story
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def test_a_batch_gets_one_outcome_for_each_of_its_members(self, rig: Rig) -> None:
        """In the order of the batch."""
        people = [ADA, BOB][: rig.connector.batch_size]
        outcomes = await rig.deliver([rig.work(self.first, person) for person in people])
        assert len(outcomes) == len(people)
        assert all(isinstance(outcome, Receipt) for outcome in outcomes)
        assert len(rig.live()) == len(people)

    async def test_check_tells_good_credentials_from_bad_ones(self, rig: Rig) -> None:
        """``bridge doctor`` and the breaker's probe rest on it."""
        assert isinstance(await rig.connector.check(), Receipt)
        rig.emulator.now_fails("status", status=401, body={"message": "unauthorised"})
        assert isinstance(await rig.connector.check(), NeedsOperator)

    async def test_every_known_error_says_what_to_do(self, rig: Rig) -> None:
        """Whole sentences, for a person who knows neither the vendor's API nor ours."""
        assert rig.connector.errors
        for name, error in rig.connector.errors.items():
            assert re.fullmatch("[a-z][a-z0-9-]*", name), name
            for text in (error.sentence, error.next_step):
                assert re.fullmatch(r"[A-Z\d`].{15,}\.", text, re.DOTALL), (name, text)
            assert error.sentence != error.next_step

    async def test_the_doctor_finds_nothing_wrong_with_a_well_kept_target(self, rig: Rig) -> None:
        """What is mapped exists, and the credentials have every right that is needed."""
        findings = await rig.connector.examine(rig.tables(), fix=False)
        assert [one for one in findings if not one.ok] == []

    async def test_the_doctor_names_a_mapped_id_that_does_not_exist(self, rig: Rig) -> None:
        """A wrong course id is found before somebody has paid for it."""
        if self.missing is None:
            pytest.skip("nothing per course can be looked up at this target")
        wrong = [one for one in await rig.connector.examine(rig.tables(self.missing), fix=False) if not one.ok]
        assert len(wrong) == 1
        assert wrong[0].what
        assert wrong[0].remedy
        assert any(str(value) in wrong[0].what for value in self.missing.values())
        assert rig.live() == []


class LmsSuite(OutboundSuite):
    """What a target that gives access promises besides."""

    async def test_granted_and_revoked(self, rig: Rig) -> None:
        """In, and out again; and once more is no fault."""
        granted = await rig.do(Operation.GRANT)
        assert isinstance(granted, Receipt)
        assert len(rig.live()) == 1
        revoked = await rig.do(Operation.REVOKE, refs=granted.refs)
        assert isinstance(revoked, Receipt), revoked
        assert rig.live() == []
        again = await rig.do(Operation.REVOKE, refs=granted.refs)
        assert isinstance(again, Receipt), again

    async def test_revoked_though_the_grants_answer_was_lost(self, rig: Rig) -> None:
        """Without refs the connector finds what it has to take away."""
        await rig.do(Operation.GRANT)
        revoked = await rig.do(Operation.REVOKE, refs=Refs(), unknown=True)
        assert isinstance(revoked, Receipt), revoked
        assert rig.live() == []

    async def test_bought_cancelled_and_bought_again(self, rig: Rig) -> None:
        """The person is in."""
        first = await rig.do(Operation.GRANT)
        assert isinstance(first, Receipt)
        await rig.do(Operation.REVOKE, refs=first.refs)
        again = await rig.do(Operation.GRANT, refs=first.refs)
        assert isinstance(again, Receipt), again
        assert len(rig.live()) == 1

    async def test_an_update_changes_the_person_and_makes_no_second_one(self, rig: Rig) -> None:
        """A changed name or address follows; access stays."""
        granted = await rig.do(Operation.GRANT)
        assert isinstance(granted, Receipt)
        married = ADA.model_copy(update={"last_name": "King"})
        updated = await rig.do(Operation.UPDATE, married, refs=granted.refs)
        assert isinstance(updated, Receipt), updated
        assert len(rig.live()) == 1
