"""Academy of Mine as a source: the suite, its shapes and dates, and the echo rule before a real ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

import orjson
import pytest
from pydantic import ValidationError

from bridge.contract.catalogue import SourceEntry
from bridge.contract.command import Action, EnrollmentCommand, Item, Learner, Order, Progress, ProgressKind, Refund
from bridge.contract.errors import PayloadInvalid
from bridge.contract.inbound import InboundEvent, Reception, Unreadable
from tests.connectors.inbound.crm_rig import bridged
from tests.ledger.rig import SHOP, World, buy
from tests.suites.inbound import PAYLOADS, RECEIVED, InboundSuite, request

SECRET = "made-up-for-the-test"
STAFF = Learner(remote_user_id="1", email="dev@academyofmine.com", first_name="Aom", last_name="Staff")
JOHN = Learner(remote_user_id="4", email="johnDoe@academyofmine.com", first_name="John", last_name="Doe")
COURSE = (Item(remote_product_id="7"),)
ORDER = Order(number="31", status="COMPLETED", total=Decimal("10.00"), currency="USD", coupon=None)


def sample(name: str) -> dict[str, Any]:
    return orjson.loads((PAYLOADS / "academy_of_mine" / f"{name}.json").read_bytes())


def told(name: str, body: Any, **query: str) -> InboundEvent:
    return request(orjson.dumps(body), query={"secret": SECRET, **({"event": name} if name else {}), **query})


class TestAcademyOfMine(InboundSuite):
    """Webhooks of the LMS, proven by the secret of their address."""

    type = "academy_of_mine"
    source: ClassVar[dict[str, Any]] = {"secret": SECRET}
    captured: ClassVar[Mapping[str, Sequence[EnrollmentCommand]]] = {
        "new_account_created.json": [
            EnrollmentCommand(action=Action.UPDATE, occurred_at=datetime(2020, 8, 11, 16, 58, tzinfo=UTC), learner=JOHN)
        ],
        "course_enrolled.json": [
            EnrollmentCommand(
                action=Action.ENROLL, occurred_at=datetime(2020, 8, 12, 9, tzinfo=UTC), learner=learner, items=COURSE
            )
            for learner in (STAFF, JOHN)
        ],
        "course_completed.json": [
            EnrollmentCommand(
                action=Action.PROGRESS,
                occurred_at=datetime(2020, 12, 31, 0, 5, tzinfo=UTC),
                learner=JOHN,
                items=COURSE,
                progress=Progress(kind=ProgressKind.COMPLETED, percent=100),
            )
        ],
        "new_order.json": [
            EnrollmentCommand(
                action=Action.ENROLL,
                occurred_at=datetime(2022, 11, 16, 14, 19, 45, tzinfo=UTC),
                business_key="31",
                learner=JOHN,
                items=(Item(remote_product_id="product:1", amount_paid=Decimal("10.00"), currency="USD"),),
                order=ORDER,
            )
        ],
        "refunded_order.json": [
            EnrollmentCommand(
                action=Action.REFUND,
                occurred_at=datetime(2022, 11, 20, 13, tzinfo=UTC),
                business_key="31",
                order=ORDER.model_copy(update={"status": "REFUNDED"}),
                refund=Refund(full=True),
            )
        ],
        "new_announcement.json": [],
    }

    def event(self, name: str, payload: bytes) -> InboundEvent:
        return request(payload, query={"secret": SECRET, "event": name.removesuffix(".json")})

    def forged(self, event: InboundEvent) -> Mapping[str, InboundEvent]:
        def shown(**query: str) -> InboundEvent:
            return replace(event, query={"event": event.query["event"], **query})

        return {
            "absent": shown(),
            "empty": shown(secret=""),
            "wrong": shown(secret=SECRET.upper()),
            "cut": shown(secret=SECRET[:-1]),
            "half a surrogate": shown(secret="\ud800"),
            "in the body": replace(shown(), body=orjson.dumps({"secret": SECRET})),
            "in a header": replace(shown(), headers={"secret": SECRET, "authorization": f"Bearer {SECRET}"}),
        }

    def faults(self, event: InboundEvent) -> dict[str, str]:
        with pytest.raises(PayloadInvalid) as invalid:
            self.adapter().normalise(event)
        return invalid.value.faults

    def test_both_secrets_count_while_they_rotate(self) -> None:
        """Each endpoint is changed by itself."""
        self.adapter(secret=["new", SECRET]).verify(told("new_order", {}))

    def test_the_shape_tells_the_event_where_the_address_does_not(self) -> None:
        """One endpoint may be used for several events."""
        for name in ("new_account_created", "course_enrolled", "course_completed", "new_order", "refunded_order"):
            body = sample(name)
            assert self.adapter().normalise(told("", body)) == self.adapter().normalise(told(name, body)), name

    def test_the_address_counts_more_than_the_shape(self) -> None:
        """It was made for this event."""
        (command,) = self.adapter().normalise(
            told(
                "course_completed", {**sample("course_enrolled"), "userList": [{"id": 4, "email": "john@example.org"}]}
            )
        )
        assert command.action is Action.PROGRESS

    @pytest.mark.parametrize("name", ["", "course_finished"])
    def test_what_nobody_can_tell_waits(self, name: str) -> None:
        """It is not guessed at, and not lost."""
        assert list(self.faults(told(name, {"id": 1}))) == ["event"]

    @pytest.mark.parametrize(
        "name", ["quiz_submission", "assigment_rejection", "failed_order", "pending_payment", "new_announcement"]
    )
    def test_other_events_mean_nothing(self, name: str) -> None:
        """Whatever they hold."""
        assert self.adapter().normalise(told(name, sample("new_order"))) == []

    def test_a_user_without_an_address_does_not_sink_the_others(self) -> None:
        """It waits under its place."""
        body = sample("course_enrolled")
        body["userList"].insert(1, {"id": 2, "first_name": "Nobody"})
        found = self.adapter().normalise(told("course_enrolled", body))
        assert found[1] == Unreadable("userList.1", {"userList.1.email": "is missing"})
        assert [command.learner for command in (found[0], found[2])] == [STAFF, JOHN]

    @pytest.mark.parametrize(
        "where",
        [
            {"course_id": 7},
            {"courseId": "7"},
            {"course": {"id": 7}},
            {"enrolledCourse": {"course_id": 7, "id": 99}},
            {"courseList": [{"id": 7}, {"id": 7}]},
            {"enrollments": [{"id": 99, "course_id": 7}]},
        ],
    )
    def test_the_course_is_found_under_the_likely_names(self, where: Mapping[str, Any]) -> None:
        """The vendor's sample breaks off before it."""
        body = {"userList": [{"id": 4, "email": "john@example.org"}], **where}
        (command,) = self.adapter().normalise(told("course_enrolled", body))
        assert command.items == COURSE

    def test_an_enrollment_without_a_course_waits(self) -> None:
        """All of it."""
        assert list(self.faults(told("course_enrolled", {"userList": [{"email": "a@b.example"}]}))) == ["course_id"]

    @pytest.mark.parametrize(
        ("text", "at"),
        [
            ("Aug 11, 2020 04:58 PM", datetime(2020, 8, 11, 20, 58, tzinfo=UTC)),
            ("Jan 1, 2021 12:00 AM", datetime(2021, 1, 1, 5, tzinfo=UTC)),
            ("January 1, 2021 12:30 pm", datetime(2021, 1, 1, 17, 30, tzinfo=UTC)),
            ("Jan 1, 2021", datetime(2021, 1, 1, 5, tzinfo=UTC)),
            ("2021-01-01 00:00:00", datetime(2021, 1, 1, 5, tzinfo=UTC)),
            ("2021-01-01T00:00:00+01:00", datetime(2020, 12, 31, 23, tzinfo=UTC)),
            ("Feb 30, 2021 04:58 PM", RECEIVED),
            ("11.08.2020", RECEIVED),
            ("", RECEIVED),
        ],
    )
    def test_dates_are_american_in_the_schools_zone(self, text: str, at: datetime) -> None:
        """One that can't be read is the time of receipt."""
        event = told("new_account_created", {**sample("new_account_created"), "date_registered": text})
        (command,) = self.adapter(timezone="America/New_York").normalise(event)
        assert command.occurred_at == at

    @pytest.mark.parametrize("name", ["Mars/Olympus", "", "../etc/passwd"])
    def test_a_zone_that_does_not_exist_is_a_fault_of_the_settings(self, name: str) -> None:
        """Told when the bridge starts."""
        with pytest.raises(ValidationError, match="timezone"):
            self.adapter(timezone=name)

    @pytest.mark.parametrize(
        ("status", "paid"), [("COMPLETED", True), ("Awaiting Shipping", True), ("PENDING_PAYMENT", False)]
    )
    def test_an_order_gives_access_once_it_is_paid(self, status: str, paid: bool) -> None:
        """Placed is not paid."""
        (command,) = self.adapter().normalise(told("new_order", {**sample("new_order"), "status": status}))
        assert command.paid is paid

    def test_an_order_that_failed_means_nothing_and_an_unknown_status_waits(self) -> None:
        """Nothing is given on a guess."""
        assert self.adapter().normalise(told("new_order", {**sample("new_order"), "status": "FAILED"})) == []
        for status in ("", "ON_FIRE"):
            assert list(self.faults(told("new_order", {**sample("new_order"), "status": status}))) == ["status"]

    @pytest.mark.parametrize(
        ("changes", "full"),
        [
            ({}, True),
            ({"refundType": "PARTIAL_REFUND"}, False),
            ({"refundType": "FULL_REFUND", "refundAmount": "9.00"}, True),
            ({"refundAmount": "9.00"}, False),
            ({"refund_amount": 10}, True),
        ],
    )
    def test_part_of_the_money_back_is_only_noted(self, changes: Mapping[str, Any], full: bool) -> None:
        """As the API names the two kinds, or as the amount says."""
        (command,) = self.adapter().normalise(told("refunded_order", {**sample("refunded_order"), **changes}))
        assert command.refund == Refund(full=full)

    def test_a_test_order_says_so(self) -> None:
        """It counts only in test mode."""
        for name in ("new_order", "refunded_order"):
            (command,) = self.adapter().normalise(told(name, {**sample(name), "isTestOrder": True}))
            assert command.livemode is False

    def test_an_order_within_an_envelope_is_the_same(self) -> None:
        """The customer may stand beside it."""
        order = sample("new_order")
        body = {"order": {name: held for name, held in order.items() if name != "customer"}, "user": order["customer"]}
        assert self.adapter().normalise(told("", body)) == self.adapter().normalise(told("new_order", order))

    def test_an_order_without_the_buyers_address_waits(self) -> None:
        """A number alone enrolls nobody."""
        assert list(self.faults(told("new_order", {**sample("new_order"), "customer": None}))) == ["customer.email"]

    def test_orders_that_the_echo_rule_leaves_out_are_not_looked_at(self) -> None:
        """Else their refunds would wait for purchases that never come."""
        for name in ("new_order", "refunded_order"):
            event = told(name, sample(name))
            assert self.adapter(echo_of="school").normalise(event) == []
            assert len(self.adapter(echo_of="school", accept_enrollments=True).normalise(event)) == 1


ECHO = SourceEntry("academy", "academy_of_mine", namespace="academy", business_scope="academy", echo_of="school")
ADA = buy("WEB").learner


class TestTheEchoRule:
    """The school tells the bridge of access that the bridge itself gave there: course 7 of the target ``school``."""

    async def take(self, world: World, source: SourceEntry, name: str, body: Any) -> Reception:
        settings = {"echo_of": source.echo_of, "accept_enrollments": source.accept_enrollments}
        return await world.intake.receive(source, TestAcademyOfMine().adapter(**settings), told(name, body))

    def enrolled(self, *emails: str) -> dict[str, Any]:
        users = [{"id": 100 + place, "email": email} for place, email in enumerate(emails)]
        return {**sample("course_enrolled"), "userList": users}

    async def test_our_own_enrollment_is_noted_and_makes_nothing(self, tmp_path: Path) -> None:
        """Although the course is mapped and enrollments are accepted."""
        for place, accepts in enumerate((False, True)):
            folder = tmp_path / str(place)
            folder.mkdir()
            source = replace(ECHO, accept_enrollments=accepts)
            async with bridged(folder, source, ["7"]) as world:
                [ours] = await world.ids(buy("WEB"), source=SHOP)
                assert (
                    await self.take(world, source, "course_enrolled", self.enrolled("Ada@Example.org"))
                ).kind == "accepted"
                assert await world.counts("registration", "quarantine") == {"registration": 1, "quarantine": 0}
                effects = await world.rows("SELECT registration_id, effect FROM effect ORDER BY event_id")
                assert [tuple(effect) for effect in effects] == [(ours, "created"), (ours, "noted")]

    async def test_a_stranger_is_ignored(self, tmp_path: Path) -> None:
        """The school may let in whom it likes."""
        async with bridged(tmp_path, ECHO, ["7", "product:1"]) as world:
            for name, body in {
                "course_enrolled": self.enrolled("eve@example.org"),
                "new_order": sample("new_order"),
                "refunded_order": sample("refunded_order"),
            }.items():
                assert (await self.take(world, ECHO, name, body)).kind == "ignored"
            assert await world.counts("registration", "quarantine") == {"registration": 0, "quarantine": 0}

    async def test_a_stranger_is_enrolled_where_that_is_accepted_and_mapped(self, tmp_path: Path) -> None:
        """Beside somebody of ours in the same post; again, it is the same registration."""
        source = replace(ECHO, accept_enrollments=True)
        async with bridged(tmp_path, source, ["7"]) as world:
            await world.ids(buy("WEB"), source=SHOP)
            for _ in range(2):
                await self.take(world, source, "course_enrolled", self.enrolled("ada@example.org", "eve@example.org"))
            assert await world.counts("registration") == {"registration": 2}
            assert await world.wanted("school") == {"email:ada@example.org": 1, "email:eve@example.org": 1}

    async def test_what_is_not_mapped_waits_where_enrollments_are_accepted(self, tmp_path: Path) -> None:
        """As any purchase of an unknown product."""
        source = replace(ECHO, accept_enrollments=True)
        async with bridged(tmp_path, source) as world:
            await self.take(world, source, "course_enrolled", self.enrolled("eve@example.org"))
            assert await world.counts("registration", "quarantine") == {"registration": 0, "quarantine": 1}

    async def test_a_completion_is_noted_on_what_gave_the_access(self, tmp_path: Path) -> None:
        """And changes nothing."""
        async with bridged(tmp_path, ECHO) as world:
            [ours] = await world.ids(buy("WEB"), source=SHOP)
            body = {**sample("course_completed"), "userList": [{"id": 100, "email": "ada@example.org"}]}
            await self.take(world, ECHO, "course_completed", body)
            rows = await world.rows("SELECT registration_id FROM effect WHERE effect = 'progressed'")
            assert [row.registration_id for row in rows] == [ours]
            assert await world.wanted("school") == {"email:ada@example.org": 1}

    async def test_an_order_of_the_schools_shop_is_bought_and_refunded(self, tmp_path: Path) -> None:
        """One registration; a product's number is never taken for a course's."""
        source = replace(ECHO, accept_enrollments=True)
        async with bridged(tmp_path, source, ["product:7"]) as world:
            await world.ids(buy("WEB", who=ADA.model_copy(update={"email": JOHN.email})), source=SHOP)
            order = sample("new_order")
            order["orderItems"][0]["product_id"] = 7
            for _ in range(2):
                await self.take(world, source, "new_order", order)
            await self.take(world, source, "refunded_order", sample("refunded_order"))
            rows = await world.rows("SELECT source, intent FROM registration ORDER BY id")
            assert [tuple(row) for row in rows] == [("shop", "live"), ("academy", "cancelled")]
            assert list((await world.wanted("school")).values()) == [1]
