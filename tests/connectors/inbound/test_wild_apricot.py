"""Wild Apricot as a source: the suite, then what only this sender says, with its API played on loopback."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar, cast

import orjson
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from bridge.contract.command import Action, EnrollmentCommand, Item, Learner, Options, Order
from bridge.contract.errors import PayloadInvalid, TransportFault
from bridge.contract.inbound import Enriches, InboundEvent, Lookup
from bridge.contract.outbound import NeedsOperator, Refused, TryLater
from bridge.kit.http import Http
from tests.connectors.inbound.sellers_rig import ALTERATIONS, Api, altered, nobody, shop
from tests.suites.inbound import PAYLOADS, RECEIVED, InboundSuite, refused, request

SECRET = "a-long-made-up-token"
API_KEY = "madeupapikey"
ADA = Learner(remote_user_id="5000", email="ada@example.org", first_name="Ada", last_name="Lovelace", phone="+4412")
CONTACT, REGISTRATION, INVOICE = (
    f"/accounts/4711/{kind}" for kind in ("contacts/5000", "eventregistrations/12345", "invoices/900")
)


def answer(name: str, **changes: Any) -> dict[str, Any]:
    return orjson.loads((PAYLOADS / "wild_apricot" / f"{name}.answer.json").read_bytes()) | changes


def basic(secret: str, user: str = "bridge") -> dict[str, str]:
    return {"authorization": f"Basic {base64.b64encode(f'{user}:{secret}'.encode()).decode()}"}


def ended(**more: Any) -> EnrollmentCommand:
    return EnrollmentCommand(action=Action.CANCEL, occurred_at=RECEIVED, **more)


MEMBER = EnrollmentCommand(
    action=Action.ENROLL,
    occurred_at=RECEIVED,
    business_key="membership:5000:7:2027-01-31",
    learner=ADA,
    items=(Item(remote_product_id="level:7"),),
    order=Order(subscription_id="membership:5000", status="Active"),
    options=Options(expires_at=datetime(2027, 2, 3, tzinfo=UTC)),
)
REGISTERED = EnrollmentCommand(
    action=Action.ENROLL,
    occurred_at=RECEIVED,
    business_key="registration:12345",
    learner=ADA,
    items=(Item(remote_product_id="event:100", amount_paid=Decimal("25.0")),),
    order=Order(number="12345", status="Confirmed", total=Decimal("25.0")),
)
NO_MEMBER = ended(order=Order(subscription_id="membership:5000"))
NOT_REGISTERED = ended(business_key="registration:12345")


class Apricot(Api):
    """The API, and the place where an API key gets a token."""

    def __init__(self, **objects: Any) -> None:
        super().__init__({"/token": {"access_token": "first"}})
        self.objects |= {CONTACT: answer("contact"), REGISTRATION: answer("registration")}
        self.objects |= {
            {"contact": CONTACT, "registration": REGISTRATION, "invoice": INVOICE}[name]: value
            for name, value in objects.items()
        }

    @property
    def paths(self) -> list[str]:
        return [path for _, path, _ in self.asked]


class TestWildApricot(InboundSuite):
    """Thin webhooks with a secret in the query or in a Basic header."""

    type = "wild_apricot"
    source: ClassVar[dict[str, Any]] = {"secret": SECRET, "account_id": "4711", "api_key": API_KEY}
    captured: ClassVar[Mapping[str, Sequence[EnrollmentCommand]]] = {
        "membership.json": [],
        "membership_renewed.json": [],
        "membership_deleted.json": [NO_MEMBER],
        "registration.json": [],
        "registration_deleted.json": [NOT_REGISTERED],
        "invoice.json": [],
        "contact.json": [],
    }

    def event(self, name: str, payload: bytes) -> InboundEvent:
        return request(payload, query={"secret": SECRET})

    def places(self) -> list[InboundEvent]:
        event = self.load("membership.json")
        return [
            event,
            replace(event, query={}, headers=basic(SECRET)),
            replace(event, query={}, headers=basic(SECRET, "")),
            replace(event, query={"secret": "an older one"}, headers=basic(SECRET)),
        ]

    def forged(self, event: InboundEvent) -> Mapping[str, InboundEvent]:
        wrong = ("", SECRET[:-1], SECRET.upper(), f" {SECRET}", API_KEY)
        bare = replace(event, query={}, headers={})
        return {
            **{f"{text!r} in the query": replace(bare, query={"secret": text}) for text in wrong},
            **{f"{text!r} in the header": replace(bare, headers=basic(text)) for text in wrong},
            "absent": bare,
            "the user name": replace(bare, headers=basic("", SECRET)),
            "not encoded": replace(bare, headers={"authorization": f"Basic bridge:{SECRET}"}),
            "not text": replace(bare, headers={"authorization": "Basic /w=="}),
            "of another scheme": replace(
                bare, headers={"authorization": basic(SECRET)["authorization"].replace("Basic", "Digest")}
            ),
            "in the body": replace(bare, body=orjson.dumps({"secret": SECRET})),
        }

    def thin(self, **settings: Any) -> Enriches:
        return cast("Enriches", self.adapter(**settings))

    async def ask(self, http: Http, name: str, adapter: Enriches | None = None) -> Any:
        """Make the one lookup of an event."""
        thin, event = adapter or self.logging_in_at(http), self.load(name)
        (lookup,) = thin.lookups(event)
        return await thin.look_up(event, lookup, http)

    def logging_in_at(self, http: Http) -> Enriches:
        return self.thin(token_url=f"{http.base_url}/token")

    async def found(self, api: Api, name: str) -> Any:
        async with api.reached() as http:
            return await self.ask(http, name)

    @given(data=st.data())
    @ALTERATIONS
    def test_another_secret_is_refused(self, data: st.DataObject) -> None:
        """Whichever character of it is another one, wherever it stands."""
        shown = data.draw(altered(SECRET.encode())).decode("latin-1")
        assert refused(self.adapter(), request(query={"secret": shown}, headers=basic(shown)))

    @pytest.mark.parametrize("account", ["", "4711/contacts", "../1", "x"])
    def test_the_account_is_a_number(self, account: str) -> None:
        """It stands in every address."""
        with pytest.raises(ValidationError, match="account_id"):
            self.adapter(account_id=account)

    @pytest.mark.parametrize(
        ("name", "wanted"),
        [
            ("membership.json", [Lookup("contacts", "5000")]),
            ("membership_renewed.json", [Lookup("contacts", "5000")]),
            ("registration.json", [Lookup("eventregistrations", "12345")]),
            ("invoice.json", [Lookup("invoices", "900")]),
            ("membership_deleted.json", []),
            ("registration_deleted.json", []),
            ("contact.json", []),
        ],
    )
    def test_what_a_notification_is_about_is_asked(self, name: str, wanted: list[Lookup]) -> None:
        """What is gone can't be."""
        assert self.thin().lookups(self.load(name)) == wanted

    def test_another_accounts_notification_is_of_no_use(self) -> None:
        """The API key is of one account."""
        event = self.load("registration_deleted.json")
        other = replace(event, body=event.body.replace(b"4711", b"4712"))
        assert self.adapter().normalise(other) == self.thin().lookups(other) == []

    @pytest.mark.parametrize("parameters", [{}, None, [], {"Contact.Id": ""}, {"Contact": {"Id": 1}}])
    def test_a_notification_of_nothing_waits(self, parameters: Any) -> None:
        """There may be a member behind it."""
        event = request(orjson.dumps({"MessageType": "Membership", "Parameters": parameters}))
        assert self.thin().lookups(event) == []
        with pytest.raises(PayloadInvalid) as invalid:
            self.adapter().normalise(event)
        assert list(invalid.value.faults) == ["Parameters"]

    async def test_a_membership_is_a_purchase_until_its_renewal_date(self) -> None:
        """Asked for with a token that the API key got."""
        api = Apricot()
        assert await self.found(api, "membership.json") == [MEMBER]
        assert api.paths == ["/token", CONTACT]
        assert api.forms == [{"grant_type": "client_credentials", "scope": "auto"}]
        pair = base64.b64encode(f"APIKEY:{API_KEY}".encode()).decode()
        assert [headers["Authorization"] for _, _, headers in api.asked] == [f"Basic {pair}", "Bearer first"]

    @pytest.mark.parametrize(
        ("changes", "wanted"),
        [
            ({"Status": "PendingRenewal"}, [Action.ENROLL]),
            ({"Status": "Lapsed"}, [Action.CANCEL]),
            ({"MembershipEnabled": False}, [Action.CANCEL]),
            ({"Status": "PendingNew"}, []),
            ({"Status": "Suspended"}, []),
            ({"MembershipLevel": None}, []),
        ],
    )
    async def test_what_a_membership_becomes(self, changes: Any, wanted: list[Action]) -> None:
        """One that is not approved yet gives nothing."""
        found = await self.found(Apricot(contact=answer("contact", **changes)), "membership.json")
        assert [command.action for command in found] == wanted

    async def test_a_membership_without_renewal_date_has_no_end(self) -> None:
        """Some levels never end."""
        (command,) = await self.found(Apricot(contact=answer("contact", FieldValues=[])), "membership.json")
        assert command.options.expires_at is None
        assert command.business_key == "membership:5000:7:endless"

    async def test_a_registration_is_a_purchase_of_its_contact(self) -> None:
        """Whose own spelling of the e-mail counts."""
        api = Apricot()
        assert await self.found(api, "registration.json") == [REGISTERED]
        assert api.paths == ["/token", REGISTRATION, CONTACT]

    async def test_a_guest_is_known_by_e_mail(self) -> None:
        """The contact is the person who brought the guest."""
        fields = [
            {"FieldName": "e-Mail", "Value": "bob@example.org"},
            {"SystemCode": "FirstName", "Value": "Bob"},
            {"SystemCode": "LastName", "Value": {"Label": "odd"}},
        ]
        guest = answer("registration", RegistrationFields=fields)
        (command,) = await self.found(Apricot(registration=guest), "registration.json")
        assert command.learner == Learner(email="bob@example.org", first_name="Bob")

    @pytest.mark.parametrize(
        ("changes", "wanted"),
        [
            ({"Status": "Cancelled"}, [Action.CANCEL]),
            ({"Status": "Declined"}, [Action.CANCEL]),
            ({"Status": "PendingPayment", "IsPaid": False}, []),
            ({"OnWaitlist": True}, []),
            ({"IsPaid": False, "PaidSum": 24.99}, []),
            ({"IsPaid": False, "PaidSum": 25}, [Action.ENROLL]),
            ({"IsPaid": False, "PaidSum": 0, "RegistrationFee": 0}, [Action.ENROLL]),
        ],
    )
    async def test_what_a_registration_becomes(self, changes: Any, wanted: list[Action]) -> None:
        """Only one that is paid, or free, gives something."""
        found = await self.found(Apricot(registration=answer("registration", **changes)), "registration.json")
        assert [command.action for command in found] == wanted

    @pytest.mark.parametrize(
        ("invoice", "wanted"),
        [
            ({"OrderType": "EventRegistration", "EventRegistration": {"Id": 12345}}, [REGISTERED]),
            ({"OrderType": "MembershipRenewal", "Contact": {"Id": 5000}}, [MEMBER]),
            ({"OrderType": "Donation", "Contact": {"Id": 5000}}, []),
            ({"OrderType": "EventRegistration", "EventRegistration": {"Id": 12345}, "IsPaid": False}, []),
        ],
    )
    async def test_a_paid_invoice_means_what_it_is_for(self, invoice: Any, wanted: list[EnrollmentCommand]) -> None:
        """And then says the same as that."""
        assert await self.found(Apricot(invoice={"Id": 900, "IsPaid": True, **invoice}), "invoice.json") == wanted

    async def test_a_token_is_kept_until_it_is_refused(self) -> None:
        """Then another one is fetched, once."""
        api = Apricot()
        async with api.reached() as http:
            adapter = self.logging_in_at(http)
            assert await self.ask(http, "membership.json", adapter) == [MEMBER]
            api.faults.append(lambda: web.Response(status=401))
            assert await self.ask(http, "membership.json", adapter) == [MEMBER]
            api.faults += [lambda: web.Response(status=401), lambda: web.json_response({"access_token": "third"})]
            api.faults.append(lambda: web.Response(status=401))
            assert isinstance(await self.ask(http, "membership.json", adapter), NeedsOperator)
        assert api.paths == ["/token", CONTACT, CONTACT, "/token", CONTACT, CONTACT, "/token", CONTACT]

    @pytest.mark.parametrize(
        ("fault", "at_log_in", "of_object"),
        [
            (lambda: web.Response(status=400), NeedsOperator, Refused),
            (lambda: web.Response(status=403), NeedsOperator, NeedsOperator),
            (lambda: web.Response(status=404), Refused, Refused),
            (lambda: web.Response(status=429, headers={"Retry-After": "7"}), TryLater, TryLater),
            (lambda: web.Response(status=503), TryLater, TryLater),
            (lambda: web.Response(text="<html>"), TryLater, TryLater),
            (lambda: web.json_response([]), TryLater, TryLater),
            (lambda: web.json_response({"Id": 1}), TryLater, TryLater),
        ],
    )
    async def test_every_fault_is_put_off_or_told(
        self, fault: Callable[[], web.Response], at_log_in: type, of_object: type
    ) -> None:
        """A purchase is never lost because the API is down, and no secret is told."""
        good = lambda: web.json_response({"access_token": "first"})  # noqa: E731 - one of several answers
        for faults, wanted in (([fault], at_log_in), ([good, fault], of_object)):
            api = Apricot()
            api.faults = list(faults)
            outcome = await self.found(api, "membership.json")
            assert isinstance(outcome, wanted)
            assert API_KEY not in repr(outcome)

    async def test_a_sender_that_does_not_answer_is_asked_again(self) -> None:
        """The job makes the lookup again."""
        async with nobody() as http:
            with pytest.raises(TransportFault):
                await self.ask(http, "membership.json")

    async def test_a_contact_without_e_mail_waits(self) -> None:
        """The field is named as the API calls it."""
        with pytest.raises(PayloadInvalid) as invalid:
            await self.found(Apricot(contact=answer("contact", Email=None)), "membership.json")
        assert list(invalid.value.faults) == ["Email"]

    async def test_a_membership_is_renewed_and_lapses_with_all_its_periods(self, tmp_path: Path) -> None:
        """Each renewal date is a purchase of its own; a registration for an event is not touched."""
        api = Apricot()

        def later(name: str, minutes: int) -> InboundEvent:
            return replace(self.load(name), received_at=RECEIVED + timedelta(minutes=minutes))

        async with api.reached() as http:
            adapter = cast("Any", self.logging_in_at(http))
            async with shop(tmp_path, adapter, "level:7", "event:100") as world:
                await world.look_up(later("membership.json", 0), http)
                await world.look_up(later("registration.json", 1), http)
                due = [{"SystemCode": "RenewalDue", "Value": "2028-01-31T00:00:00"}]
                api.objects[CONTACT] = answer("contact", FieldValues=due)
                await world.look_up(later("membership_renewed.json", 2), http)
                await world.look_up(later("membership.json", 3), http)
                assert await world.intents() == ["live", "live", "live"]
                api.objects[CONTACT] = answer("contact", Status="Lapsed")
                await world.look_up(later("membership.json", 4), http)
                assert await world.intents() == ["cancelled", "live", "cancelled"]
                await world.receive(later("registration_deleted.json", 5))
                assert await world.intents() == ["cancelled", "cancelled", "cancelled"]
