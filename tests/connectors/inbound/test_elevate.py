"""Elevate as a source: the suite, then what only this protocol says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, ClassVar

import orjson
import pytest

from bridge.contract.command import Action, Cancellation, EnrollmentCommand, Item, Learner, Options
from bridge.contract.errors import PayloadInvalid
from bridge.contract.inbound import AcceptedLine, InboundEvent, Reception, Response
from connectors.inbound.elevate import ADAPTER
from tests.suites.inbound import RECEIVED, SYNCHRONOUS, InboundSuite, refused, request

KEY = "API_KEY_HERE"
GOOD: dict[str, Any] = {
    "api_key": KEY,
    "remote_user_id": "4711",
    "firstname": "Ada",
    "lastname": "Lovelace",
    "email": "ada@example.org",
    "remote_product_id": "ABCD1234",
    "amount_paid": "49.90",
    "send_email": True,
}


def call(said: Any, path: str = "/api/registrations") -> InboundEvent:
    return request(orjson.dumps(said), path=path)


def enrolled(
    learner: Learner, product: str, amount: str | None = "0", *, send_email: bool = False
) -> EnrollmentCommand:
    return EnrollmentCommand(
        action=Action.ENROLL,
        occurred_at=RECEIVED,
        learner=learner,
        items=(Item(remote_product_id=product, amount_paid=None if amount is None else Decimal(amount)),),
        options=Options(send_email=send_email),
    )


def line(registration_id: int, product: str = "ABCD1234", url: str | None = None) -> AcceptedLine:
    return AcceptedLine(registration_id, product, url, False, "pending")


TEST_LEARNER = Learner(
    remote_user_id="123456", email="ttestlname@domain.com", first_name="Testfname", last_name="Testlname"
)


class TestElevate(InboundSuite):
    """The Registration API and the Cancellation API as a server."""

    type = "elevate"
    source: ClassVar[dict[str, Any]] = {"api_key": KEY}
    statuses = SYNCHRONOUS
    captured: ClassVar[Mapping[str, Sequence[EnrollmentCommand]]] = {
        "registration.json": [
            enrolled(
                Learner(
                    remote_user_id="UNIQUE_USER_ID",
                    email="USER@DOMAIN.COM",
                    first_name="USER_FIRST_NAME",
                    last_name="USER_LAST_NAME",
                ),
                "REMOTE_PRODUCT_ID",
                send_email=True,
            )
        ],
        "registration.php.json": [enrolled(TEST_LEARNER, "ABCD1234")],
        "registrations.json": [
            enrolled(TEST_LEARNER, "ABCD1234", "49.9"),
            enrolled(Learner(remote_user_id="123457", email="other@domain.com"), "77", "12.50", send_email=True),
        ],
        "cancellation.json": [
            EnrollmentCommand(
                action=Action.CANCEL,
                occurred_at=RECEIVED,
                registration_id=583919,
                options=Options(
                    cancellation=Cancellation(
                        admin_email="EMAIL_OF_ADMIN_TO_RECEIVE_NOTICE_OF_CANCELLATION",
                        admin_text="EXPLANATION TEXT OF CANCELLATION FOR ADMIN",
                        notify_learner=True,
                        learner_text="EXPLANATION TEXT OF CANCELLATION FOR USER",
                    )
                ),
            )
        ],
    }

    def event(self, name: str, payload: bytes) -> InboundEvent:
        return request(payload, path="/registrations/cancel" if name == "cancellation.json" else "/api/registrations")

    def places(self) -> list[InboundEvent]:
        at_its_own_address = [replace(event, path="/in/ams") for event in self.events()]
        return [*self.events(), *at_its_own_address, replace(self.events()[-1], path="/api/registrations/cancel")]

    def forged(self, event: InboundEvent) -> Mapping[str, InboundEvent]:
        def shows(key: Any) -> InboundEvent:
            said = event.json
            if isinstance(said, list):  # one wrong key among good ones is enough
                return replace(event, body=orjson.dumps([*said, {**said[0], "api_key": key}]))
            return replace(event, body=orjson.dumps({**said, "api_key": key}))

        wrong = {repr(key): shows(key) for key in ("", "API_KEY_HER", KEY.lower(), KEY + " ", 0, None, True, [KEY], {})}
        return {
            **wrong,
            "elsewhere": replace(shows(None), query={"api_key": KEY}, headers={"api_key": KEY}),
            "absent": replace(event, body=b"{}"),
            "of no object": replace(event, body=b'"' + KEY.encode() + b'"'),
            "of an empty list": replace(event, body=b"[]"),
        }

    def check_shape(self, reception: Reception, response: Response) -> None:
        for said in response.body if isinstance(response.body, list) else [response.body]:
            if response.status == 200:
                assert set(said) in ({"product_url", "registration_id"}, {"success"})
            else:
                assert set(said) == {"error_messages"}
                assert all(isinstance(text, str) and text for text in said["error_messages"].values())
                assert said["error_messages"]

    def the(self, said: Any, path: str = "/api/registrations") -> EnrollmentCommand:
        (command,) = self.adapter().normalise(call(said, path))
        return command

    def faults(self, said: Any, path: str = "/api/registrations") -> dict[str, str]:
        with pytest.raises(PayloadInvalid) as invalid:
            self.adapter().normalise(call(said, path))
        return invalid.value.faults

    def test_takes_both_keys_while_they_rotate(self) -> None:
        """The AMS changes over when it likes."""
        adapter = self.adapter(api_key=["new", "old"])
        for key, wanted in {"new": False, "old": False, KEY: True}.items():
            assert refused(adapter, call({**GOOD, "api_key": key})) is wanted

    def test_a_body_that_is_no_json_is_unreadable(self) -> None:
        """400, before anybody is asked for a key."""
        with pytest.raises(PayloadInvalid) as invalid:
            self.adapter().credential(request(b"{", path="/api/registrations"))
        assert not invalid.value.readable

    @pytest.mark.parametrize("name", ["remote_user_id", "email", "remote_product_id"])
    @pytest.mark.parametrize("value", [None, "", "  "])
    def test_a_required_field_is_named(self, name: str, value: Any) -> None:
        """Absent, null and blank are the same."""
        assert self.faults({**GOOD, name: value}) == {name: f"The {name} field is required."}
        assert self.faults({key: held for key, held in GOOD.items() if key != name}) == {
            name: f"The {name} field is required."
        }

    def test_all_faults_are_told_at_once(self) -> None:
        """The sender's developer corrects them in one go."""
        told = self.faults({"email": "nobody", "amount_paid": "abc", "send_email": "perhaps", "firstname": 1})
        assert told == {
            "remote_user_id": "The remote_user_id field is required.",
            "email": "The email field must be an e-mail address.",
            "firstname": "The firstname field must be text of at most 500 characters.",
            "remote_product_id": "The remote_product_id field is required.",
            "amount_paid": "The amount_paid field must be a number of 0 or more, "
            "with a point before the decimals, such as 49.90.",
            "send_email": "The send_email field must be true or false.",
        }

    @pytest.mark.parametrize("name", ["remote_user_id", "remote_product_id"])
    def test_ids_are_text_or_whole_numbers(self, name: str) -> None:
        """An id of another kind is a mistake of the caller, not an id."""
        for value in (True, 1.5, 1e30, ["a"], {"id": 1}, "a\0b", "x" * 501):
            assert list(self.faults({**GOOD, name: value})) == [name]
        for value, kept in {17: "17", " 17 ": "17", 0: "0", "x" * 500: "x" * 500}.items():
            command = self.the({**GOOD, name: value})
            assert command.learner is not None
            found = command.learner.remote_user_id if name == "remote_user_id" else command.items[0].remote_product_id
            assert found == kept

    @pytest.mark.parametrize(
        ("given", "kept"),
        [
            ("49.90", "49.90"),
            (" 0 ", "0"),
            (49.9, "49.9"),
            (0.1 + 0.2, "0.3"),
            (-5.7e-14, "0.0"),
            (10, "10"),
            (".5", "0.5"),
            ("5.", "5"),
        ],
    )
    def test_an_amount_is_a_number_however_it_is_written(self, given: Any, kept: str) -> None:
        """In major units; the crumbs of floating arithmetic are none."""
        assert self.the({**GOOD, "amount_paid": given}).items[0].amount_paid == Decimal(kept)

    @pytest.mark.parametrize("given", [None, "", " "])
    def test_an_amount_may_be_unknown(self, given: Any) -> None:
        """Nothing is not zero."""
        assert self.the({**GOOD, "amount_paid": given}).items[0].amount_paid is None

    @pytest.mark.parametrize(
        "given",
        [-1, "-0.01", "49,90", "abc", "NaN", "Infinity", "1e3", "1_000", "\u0661", "$5", True, [], {}, "1" * 13, 1e300],
    )
    def test_anything_else_is_no_amount(self, given: Any) -> None:
        """A misread amount would stand in the reports."""
        assert list(self.faults({**GOOD, "amount_paid": given})) == ["amount_paid"]

    @pytest.mark.parametrize(
        ("given", "wanted"),
        [
            *((yes, True) for yes in (True, "true", "TRUE", "yes", 1, "1")),
            *((no, False) for no in (False, "false", "no", 0, "0", None, "")),
        ],
    )
    def test_flags_come_in_many_spellings(self, given: Any, wanted: bool) -> None:
        """No mail is sent unless it was asked for."""
        assert self.the({**GOOD, "send_email": given}).options.send_email is wanted

    def test_names_may_be_missing(self) -> None:
        """Some members have one name only; they have paid all the same."""
        learner = self.the({**GOOD, "firstname": None, "lastname": " "}).learner
        assert learner is not None
        assert (learner.first_name, learner.last_name) == ("", "")

    def test_unknown_fields_are_ignored(self) -> None:
        """Impexium sends alternates besides."""
        assert self.the({**GOOD, "AlternateId": {"a": [1]}, "event_key": "x"}) == self.the(GOOD)

    def test_no_event_key_so_that_the_live_registration_decides(self) -> None:
        """Buy, cancel and buy again has three identical calls in it."""
        assert self.the(GOOD).event_key is None
        assert self.the(GOOD).business_key is None

    def test_a_list_is_refused_as_a_whole_and_names_the_place(self) -> None:
        """Half a list would leave the caller guessing."""
        assert self.faults([GOOD, {**GOOD, "email": "x"}, 7]) == {
            "1.email": "The email field must be an e-mail address.",
            "2.body": "The request body must be a JSON object.",
        }
        assert list(self.faults([])) == ["body"]

    def test_the_members_of_a_list_share_one_key(self) -> None:
        """One call is of one source."""
        mixed = call([GOOD, {**GOOD, "api_key": "other"}])
        assert self.adapter().credential(mixed) is None
        assert refused(self.adapter(api_key=[KEY, "other"]), mixed)

    @pytest.mark.parametrize("given", [583919, "583919", " 583919 ", "0583919"])
    def test_a_registration_id_is_a_number_or_its_digits(self, given: Any) -> None:
        """Callers keep it in whatever column they have."""
        said = {"api_key": KEY, "registration_id": given}
        for path in ("/registrations/cancel", "/api/registrations/cancel", "/in/ams"):
            command = self.the(said, path)
            assert (command.action, command.registration_id) == (Action.CANCEL, 583919)
            assert command.options.cancellation == Cancellation()

    def test_the_id_nobody_has_is_still_an_id(self) -> None:
        """A caller that tests its key with 0 is told that there is no such registration."""
        assert self.the({"registration_id": 0}, "/registrations/cancel").registration_id == 0

    @pytest.mark.parametrize("given", ["x", "-1", "1.0", 1.0, True, [], {}, "\u00b2", "9" * 20, 2**63, "9" * 5000])
    def test_anything_else_is_no_registration_id(self, given: Any) -> None:
        """It names the field."""
        assert list(self.faults({"registration_id": given}, "/registrations/cancel")) == ["registration_id"]

    def test_a_cancellation_needs_its_id(self) -> None:
        """The address says what is meant, whatever else the body holds."""
        wanted = {"registration_id": "The registration_id field is required."}
        assert self.faults(GOOD, "/registrations/cancel") == wanted
        assert "email" in self.faults({"registration_id": 1}, "/api/registrations")

    def test_the_texts_of_a_cancellation_are_texts(self) -> None:
        """The address of the admin is not checked: a cancellation must not fail for it."""
        said = {"registration_id": 1, "cancellations_email": "the office", "notify_cancelled_user": "0"}
        options = self.the(said, "/registrations/cancel").options
        assert options.cancellation == Cancellation(admin_email="the office", notify_learner=False)
        bad = {"registration_id": 1, "cancellations_email": 5, "notify_cancelled_user": "maybe"}
        assert sorted(self.faults(bad, "/registrations/cancel")) == ["cancellations_email", "notify_cancelled_user"]

    def answer(self, said: Any, reception: Reception, path: str = "/api/registrations") -> tuple[int, Any]:
        response = self.adapter().respond(call(said, path), reception)
        return response.status, response.body

    def test_answers_a_registration_with_the_documented_fields(self) -> None:
        """The address of the product is empty where the config names none."""
        url = "https://school.example.org/courses/intro-ce?force_login=1"
        assert self.answer(GOOD, Reception("accepted", (line(583919, url=url),))) == (
            200,
            {"product_url": url, "registration_id": 583919},
        )
        assert self.answer(GOOD, Reception("accepted", (line(7),))) == (200, {"product_url": "", "registration_id": 7})

    def test_answers_a_cancellation_with_success(self) -> None:
        """Also a repeated one, for which nothing is left to do."""
        for lines in ((), (line(583919),)):
            said = {"api_key": KEY, "registration_id": "583919"}
            for path in ("/registrations/cancel", "/in/ams"):
                assert self.answer(said, Reception("accepted", lines), path) == (200, {"success": True})

    @pytest.mark.parametrize("kind", ["unmapped", "ignored"])
    def test_an_unknown_product_is_told_in_the_vendors_words(self, kind: Any) -> None:
        """A product that the operator switched off is no other case to the caller."""
        said = {"error_messages": {"product": "The requested product could not be found."}}
        assert self.answer(GOOD, Reception(kind)) == (422, said)
        assert self.answer([GOOD, GOOD], Reception(kind)) == (422, [said, said])

    def test_an_unknown_registration_is_told_in_the_vendors_field(self) -> None:
        """Also when it is another source's."""
        assert self.answer({"registration_id": 1}, Reception("not_found"), "/registrations/cancel") == (
            404,
            {"error_messages": {"registration": "The requested registration could not be found."}},
        )

    def test_faults_are_answered_by_field(self) -> None:
        """As they were found."""
        found = Reception("invalid", faults={"email": "The email field is required."})
        assert self.answer(GOOD, found) == (422, {"error_messages": {"email": "The email field is required."}})

    def test_a_list_is_answered_in_its_order(self) -> None:
        """One of an unmapped product keeps its place among the others."""
        said = [GOOD, {**GOOD, "remote_product_id": "GONE"}, {**GOOD, "remote_product_id": 77}]
        status, told = self.answer(said, Reception("accepted", (line(1), line(2, "77"))))
        assert status == 200
        assert [answer.get("registration_id") for answer in told] == [1, None, 2]
        assert told[1] == {"error_messages": {"product": "The requested product could not be found."}}

    @pytest.mark.parametrize("lines", [(1, 2), (1, 1, 2)])
    def test_twins_in_a_list_get_one_id_and_nobody_elses(self, lines: tuple[int, ...]) -> None:
        """Whether or not intake tells a repeated line twice."""
        said = [GOOD, GOOD, {**GOOD, "remote_user_id": 4712}]
        _, told = self.answer(said, Reception("accepted", tuple(line(number) for number in lines)))
        assert [answer["registration_id"] for answer in told] == [1, 1, 2]


def test_a_list_has_its_limit() -> None:
    """One call is one transaction: a sender with thousands sends several calls, so that others need not wait."""
    entry = {"api_key": "k", "remote_user_id": "1", "email": "a@example.org", "remote_product_id": "P"}
    adapter = ADAPTER(ADAPTER.Settings.model_validate({"adapter": "elevate", "api_key": "k"}))
    body = orjson.dumps([entry] * 101)
    event = InboundEvent("POST", "/api/registrations", {}, {}, body, datetime(2026, 11, 22, tzinfo=UTC))
    with pytest.raises(PayloadInvalid, match="at most 100"):
        adapter.normalise(event)
