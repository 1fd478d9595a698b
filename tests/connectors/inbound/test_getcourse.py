"""GetCourse as a source: the suite, then what only this protocol says."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, ClassVar
from urllib.parse import parse_qsl, quote, urlencode

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.contract.command import Action, EnrollmentCommand, Item, Learner, Order, Refund
from bridge.contract.errors import PayloadInvalid
from bridge.contract.inbound import AcceptedLine, InboundEvent, Reception, Response
from bridge.intake.blank import stored_body, stored_query
from connectors.inbound.getcourse.deals import DEAL_STATUSES, PAYMENT_STATUSES, Does
from tests.suites.inbound import (
    ANY_JSON,
    GARBAGE,
    HOSTILE_JSON,
    RECEIVED,
    WEBHOOK,
    InboundSuite,
    refused,
    request,
)

KEY = "secret_key"
USERS, DEALS = "/pl/api/users", "/pl/api/deals"
EMAIL = "ada@example.org"
NO_PARAMS = "Не указаны параметры"  # noqa: RUF001 - so it is written
ADA = Learner(email=EMAIL)


def packed(params: Any) -> str:
    return base64.b64encode(json.dumps(params).encode()).decode()


def form(given: Mapping[str, str], path: str = DEALS, query: Mapping[str, str] | None = None) -> InboundEvent:
    return request(urlencode(given).encode(), path=path, query=query)


def call(params: Any, path: str = DEALS, action: str = "add") -> InboundEvent:
    """The call of the official SDK and of most others."""
    return form({"key": KEY, "action": action, "params": packed(params)}, path)


def deal(email: str = EMAIL, **block: Any) -> InboundEvent:
    return call({"user": {"email": email}, "deal": block})


def told(learner: Learner) -> EnrollmentCommand:
    return EnrollmentCommand(action=Action.UPDATE, occurred_at=RECEIVED, learner=learner)


def put_into(learner: Learner, *groups: str, at: datetime = RECEIVED) -> EnrollmentCommand:
    items = tuple(Item(remote_product_id=f"group:{name}") for name in groups)
    return EnrollmentCommand(action=Action.ENROLL, occurred_at=at, learner=learner, items=items)


def changed(action: Action, learner: Learner, number: str, **more: Any) -> EnrollmentCommand:
    key = f"{number} {learner.email}"
    return EnrollmentCommand(action=action, occurred_at=RECEIVED, learner=learner, business_key=key, **more)


PUPKIN = Learner(
    email="vasiliy.pupkin@getcourse.ru",
    first_name="Василий",
    last_name="Пупкин",
    attributes={"Почтовый адрес": "New Васюки"},
)
LOVELACE = Learner(
    email=EMAIL,
    first_name="Ада",
    last_name="Лавлейс",
    phone="+74951234567",
    attributes={"Почтовый адрес": "Тверская, 1", "city": "Москва", "country": "Россия"},
)
SOMEBODY = Learner(email="email@yopmail.com")


class TestGetcourse(InboundSuite):
    """The import API as a server."""

    type = "getcourse"
    source: ClassVar[dict[str, Any]] = {"key": KEY}
    statuses: ClassVar[Mapping[Any, int]] = {**WEBHOOK, "unauthorised": 200}
    captured: ClassVar[Mapping[str, Sequence[EnrollmentCommand]]] = {
        "php_sdk_dealadd.form.txt": [
            told(PUPKIN),
            changed(
                Action.ENROLL,
                PUPKIN,
                "30046",
                paid=False,
                items=(Item(remote_product_id="Как заработать первый доллар"),),
                order=Order(number="30046", total=Decimal("64.24")),
            ),
        ],
        "curl_unescaped_params.form.txt": [told(Learner(email="a+b@example.com", first_name="??>>~~"))],
        "groups.users.json": [
            told(LOVELACE),
            put_into(LOVELACE, "Group1"),
            put_into(LOVELACE, "Group2", at=datetime(2023, 5, 1, 21, 21, tzinfo=UTC)),
            put_into(LOVELACE, "Group4", at=datetime(2023, 5, 2, tzinfo=UTC)),
        ],
        "paid.deals.json": [
            told(ADA),
            put_into(ADA, "Group1"),
            changed(
                Action.ENROLL,
                ADA,
                "13667463",
                items=(Item(remote_product_id="lms-101", amount_paid=Decimal("1990.50"), currency="RUB"),),
                order=Order(
                    number="13667463",
                    status="in_work",
                    total=Decimal("1990.50"),
                    currency="RUB",
                    payment_method="lava",
                ),
            ),
        ],
        "status.deals.json": [told(SOMEBODY), changed(Action.RESUME, SOMEBODY, "13667463", undoes="all")],
        "cancelled.deals.json": [told(SOMEBODY), changed(Action.CANCEL, SOMEBODY, "13667463")],
        "returned.deals.json": [
            told(ADA),
            changed(
                Action.ENROLL,
                ADA,
                "77",
                paid=False,
                items=(Item(remote_product_id="3052"),),
                order=Order(number="77", status="payed", total=Decimal(99)),
            ),
            changed(Action.REFUND, ADA, "77", refund=Refund()),
        ],
    }

    def event(self, name: str, payload: bytes) -> InboundEvent:
        if name.endswith(".form.txt"):
            return request(payload.strip(), path=DEALS if "deal" in name else USERS)
        return call(orjson.loads(payload), DEALS if name.endswith(".deals.json") else USERS)

    def places(self) -> list[InboundEvent]:
        blocks = {"user": {"email": EMAIL, "group_name": ["A", ["B", "2023-05-01"]]}, "deal": {"offer_id": 7}}
        shown = {"action": "add", "key": KEY, "params": packed(blocks)}
        bracketed = {"user[email]": EMAIL, "deal[offer_code]": "7", "deal[status]": "Оплачен"}
        return [
            form(shown),
            form(shown, "/in/source"),
            form({**shown, "action": "update"}, query={"key": "an older one", "action": "delete"}),
            request(path=DEALS, query=shown),
            form({"params": shown["params"]}, query={"key": KEY, "action": "add"}),
            request(orjson.dumps(blocks), path=DEALS, query={"key": KEY}),
            request(orjson.dumps({**blocks, "key": KEY}), path=USERS),
            request(orjson.dumps(shown), path=DEALS),
            form({**bracketed, "key": KEY}),
            form(bracketed, query={"key": KEY}),
        ]

    def forged(self, event: InboundEvent) -> Mapping[str, InboundEvent]:
        good = {"action": "add", "params": packed({"user": {"email": EMAIL}})}
        wrong = {repr(text): form({**good, "key": text}) for text in ("", "secret_ke", "SECRET_KEY", " secret_key")}
        bare = {name: text for name, text in event.query.items() if name != "key"}
        return {
            **wrong,
            "absent": replace(event, query=bare, body=event.body.replace(KEY.encode(), b"")),
            "in a header": replace(form(good), headers={"key": KEY}),
            "inside of params": form({"action": "add", "params": packed({"key": KEY, "user": {"email": EMAIL}})}),
            "a good one that the body overrules": form({**good, "key": "wrong"}, query={"key": KEY}),
            "a list": form({**good, "key[]": KEY}),
            "no text": request(orjson.dumps({**good, "key": [KEY]}), path=USERS),
            "half a surrogate pair": request(path=USERS, query={**good, "key": "\ud800"}),
        }

    def check_shape(self, reception: Reception, response: Response) -> None:
        said = response.body
        result = said["result"]
        assert isinstance(said["action"], str)
        assert said["success"] is result["success"] is (not result["error"])
        assert isinstance(result["success"], bool)
        assert isinstance(result["error_message"], str)
        assert bool(result["error_message"]) is result["error"]
        assert {"user_id", "user_status", "deal_id", "deal_number"} <= set(result)
        assert ("error" in said) is result["error"]
        if reception.kind not in ("accepted", "unmapped", "ignored", "not_found"):
            assert result["error"]

    def meant(self, event: InboundEvent) -> list[EnrollmentCommand]:
        """What a call says beside what it says of the person."""
        person, *rest = self.adapter().normalise(event)
        assert person.action is Action.UPDATE
        return rest

    def faults(self, event: InboundEvent) -> dict[str, str]:
        with pytest.raises(PayloadInvalid) as invalid:
            self.adapter().normalise(event)
        return invalid.value.faults

    def answer(self, event: InboundEvent, kind: Any = "accepted", *lines: AcceptedLine, **more: Any) -> dict[str, Any]:
        return self.adapter().respond(event, Reception(kind, lines, **more)).body

    def test_takes_both_keys_while_they_rotate(self) -> None:
        """The caller changes over when its owner finds the time."""
        adapter = self.adapter(key=["new", "old"])
        for key, wanted in {"new": False, "old": False, KEY: True}.items():
            assert refused(adapter, form({"key": key, "action": "add", "params": ""})) is wanted

    def test_every_road_means_the_same(self) -> None:
        """Form, address, both, JSON with params and without: one deal of offer 7, of nobody's payment."""
        roads = [event for event in self.places() if event.path == DEALS and b"user%5B" not in event.body]
        assert len(roads) == 6
        meanings = [self.adapter().normalise(event) for event in roads]
        assert all(meaning == meanings[0] for meaning in meanings)
        assert [command.action for command in meanings[0]] == [Action.UPDATE, Action.ENROLL, Action.ENROLL]

    def test_names_in_brackets_mean_what_php_makes_of_them(self) -> None:
        """Also with the status as the screens show it, and lists without numbers."""
        pairs = [
            ("key", KEY),
            ("user[email]", EMAIL),
            ("user[group_name][]", "A"),
            ("user[group_name][]", "B"),
            ("user[addfields][Город мечты]", "Рим"),
            ("deal[offer_code]", "lms-101"),
            ("deal[status]", "Оплачен"),
        ]
        person, groups, bought = self.adapter().normalise(request(urlencode(pairs).encode(), path=DEALS))
        assert person.learner == Learner(email=EMAIL, attributes={"Город мечты": "Рим"})
        assert [item.remote_product_id for item in groups.items] == ["group:A", "group:B"]
        assert (bought.action, bought.paid, bought.order.status) == (Action.ENROLL, True, "payed")

    def test_params_in_brackets_need_no_base64(self) -> None:
        """What PHP makes of an array that nobody encoded."""
        given = {"key": KEY, "action": "add", "params[user][email]": EMAIL, "params[deal][offer_code]": "7"}
        assert self.adapter().normalise(form(given)) == [told(ADA)]

    def test_a_multipart_form_is_what_php_sends_of_an_array(self) -> None:
        """It is understood, and its key is blanked before it is kept, as the engine does with any form of body."""
        given = {"action": "add", "key": KEY, "params": packed({"user": {"email": EMAIL}})}
        parts = [f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{v}\r\n' for name, v in given.items()]
        headers = {"content-type": "multipart/form-data; boundary=x"}
        event = request("".join([*parts, "--x--\r\n"]).encode(), path=USERS, headers=headers)
        adapter = self.adapter()
        adapter.verify(event)
        body, _ = stored_body(event, adapter.credential_fields, adapter.credentials())
        assert KEY not in body
        assert adapter.normalise(event) == adapter.normalise(replace(event, body=body.encode())) == [told(ADA)]

    def test_the_key_is_kept_in_no_place(self) -> None:
        """As the engine stores an event: in the address, in forms with and without brackets, in JSON."""
        adapter = self.adapter()
        for event in self.places():
            kept = stored_body(event, adapter.credential_fields, ())[0] + stored_query(event, adapter.credential_fields)
            assert KEY not in kept

    @pytest.mark.parametrize(
        "spelled",
        [
            lambda text: text,
            lambda text: text.rstrip("="),
            lambda text: text.replace("+", "-").replace("/", "_"),
            lambda text: text.replace("+", " "),
            lambda text: "\r\n".join(text[n : n + 7] for n in range(0, len(text), 7)),
            lambda text: f" {text}\n",
            lambda text: base64.b64decode(text).decode(),
            lambda text: base64.b64encode(b"\xef\xbb\xbf" + base64.b64decode(text)).decode(),
        ],
        ids=["standard", "bare", "for addresses", "plus as space", "folded", "with space around", "no base64", "BOM"],
    )
    def test_base64_is_read_in_every_spelling(self, spelled: Any) -> None:
        """What callers and the roads in between make of it."""
        params = base64.b64encode(json.dumps({"user": {"email": EMAIL, "first_name": "??>>~~ö"}}).encode()).decode()
        assert "+" in params
        assert "/" in params
        given = {"key": KEY, "action": "add", "params": spelled(params)}
        learner = self.adapter().normalise(form(given, USERS))[0].learner
        assert learner == Learner(email=EMAIL, first_name="??>>~~ö")

    def test_a_plus_that_nobody_escaped_arrives_as_a_space(self) -> None:
        """In a form as in an address."""
        params = packed({"user": {"email": EMAIL, "first_name": "??>>~~"}})
        assert "+" in params
        raw = f"action=add&key={KEY}&params={params}"
        wanted = [told(Learner(email=EMAIL, first_name="??>>~~"))]
        assert self.adapter().normalise(request(raw.encode(), path=USERS)) == wanted
        assert self.adapter().normalise(request(path=USERS, query=dict(parse_qsl(raw)))) == wanted

    @pytest.mark.parametrize("escaped", [True, False], ids=["\\u escapes", "UTF-8"])
    def test_any_script_in_either_spelling_of_json(self, escaped: bool) -> None:
        """PHP escapes, Python and JavaScript need not."""
        text = json.dumps({"user": {"email": EMAIL, "first_name": "Зоя 😀"}}, ensure_ascii=escaped)
        given = {"key": KEY, "action": "add", "params": base64.b64encode(text.encode()).decode()}
        assert self.adapter().normalise(form(given, USERS)) == [told(Learner(email=EMAIL, first_name="Зоя 😀"))]

    def test_an_empty_list_is_phps_empty_object(self) -> None:
        """The official SDK sends five blocks always."""
        blocks = {"user": {"email": EMAIL}, "system": [], "session": [], "deal": [], "message": []}
        assert self.adapter().normalise(call(blocks, USERS)) == [told(ADA)]
        assert list(self.faults(call([], USERS))) == ["user.email"]
        assert self.adapter().normalise(call(blocks, "/in/source")) == [told(ADA)]

    def test_what_is_no_call_is_told_in_getcourses_words(self) -> None:
        """Clients look for them."""
        for shown, wanted in (
            ({}, {"action": "Пустой параметр action"}),
            ({"params": packed({})}, {"action": "Пустой параметр action"}),
            ({"action": "add"}, {"params": NO_PARAMS}),
            ({"action": "add", "params": " "}, {"params": NO_PARAMS}),
            ({"action": "get", "params": packed({})}, {"action": "The action parameter must be add or update."}),
        ):
            assert self.faults(form({"key": KEY, **shown})) == wanted

    @pytest.mark.parametrize("params", ["!", "aaaaa", "bm9wZQ==", "e30", "/w==", "{", "[1]", "W10x", "MQ=="])
    def test_params_that_cannot_be_read_are_told_as_such(self, params: str) -> None:
        """No base64, no JSON, or no object; what can be read and is empty lacks the e-mail."""
        faults = self.faults(form({"key": KEY, "action": "add", "params": params}))
        assert list(faults) == (["user.email"] if params == "e30" else ["params"])

    @pytest.mark.parametrize("user", [{}, {"phone": "+7"}, {"id": 7, "group_name": ["A"]}, {"email": ""}])
    def test_a_person_is_known_by_the_email(self, user: dict[str, Any]) -> None:
        """Neither by telephone nor by a number of GetCourse's."""
        assert list(self.faults(call({"user": user}, USERS, "update"))) == ["user.email"]

    def test_faults_name_the_protocols_parameters(self) -> None:
        """And say what was expected."""
        long = "x" * 501
        for event, name in (
            (deal("ada"), "user.email"),
            (deal(offer_code=long, deal_is_paid=1), "deal.offer_code"),
            (deal(offer_code="A", deal_number=long), "deal.deal_number"),
            (call({"user": {"email": EMAIL, "group_name": ["A", long]}}, USERS), "user.group_name"),
            (deal(offer_code={"a": 1}), "deal.offer_code"),
            (deal(offer_code="A", deal_number=[7]), "deal.deal_number"),
            (deal(offer_code="A", deal_number=2**70), "deal.deal_number"),
            (deal(offer_code="A", deal_status="paid"), "deal.deal_status"),
            (deal(offer_code="A", deal_is_paid="perhaps"), "deal.deal_is_paid"),
        ):
            faults = self.faults(event)
            assert list(faults) == [name]
            assert name in faults[name]

    @pytest.mark.parametrize(
        ("given", "wanted"),
        [
            (["A", "B"], ["A", "B"]),
            ("A", ["A"]),
            ({"0": "A", "2": "B"}, ["A", "B"]),
            ([["A", ""], ["B", "nonsense"], "A"], ["A", "B"]),
            ([7, "", None, [], {}, [[]]], ["7"]),
            ([], []),
            (None, []),
        ],
    )
    def test_groups_in_every_form_that_callers_give_them(self, given: Any, wanted: list[str]) -> None:
        """A list, one name, PHP's list with gaps; pairs whose date is none; each group once."""
        commands = self.meant(call({"user": {"email": EMAIL, "group_name": given}}, USERS, "update"))
        assert [item.remote_product_id for one in commands for item in one.items] == [f"group:{n}" for n in wanted]
        assert {one.occurred_at for one in commands} <= {RECEIVED}

    def test_the_same_deal_of_the_same_owner_is_one_deal(self) -> None:
        """The number as text or as number, the address in any spelling of its letters; another owner's is another deal."""
        keys = [
            self.meant(deal(email, deal_number=number, offer_code="A"))[0].business_key
            for email, number in ((EMAIL, 7), (EMAIL, "7"), (EMAIL, 7.0), ("ADA@Example.org", " 7 "), ("b@c.d", 7))
        ]
        assert len(set(keys[:4])) == 1
        assert keys[4] != keys[0]

    def test_joined_with_another_source_the_number_alone_names_the_deal(self) -> None:
        """The other source knows the order by its number only."""
        adapter = self.adapter(same_orders_as="shop")
        assert adapter.normalise(deal(deal_number=7, offer_code="A"))[1].business_key == "7"

    @pytest.mark.parametrize("number", ["", None, 0, "0", False])
    def test_without_a_number_each_call_is_a_deal_of_its_own(self, number: Any) -> None:
        """A repeat is decided by the live registration; unpaid, it is of no use, for nothing could ever pay it."""
        (bought,) = self.meant(deal(deal_number=number, offer_code="A", deal_is_paid=1))
        assert (bought.business_key, bought.order.number) == (None, None)
        for status in ("new", "waiting_for_return"):
            assert self.meant(deal(deal_number=number, offer_code="A", deal_status=status)) == []

    def test_an_offer_goes_by_its_code_else_its_id_else_its_title(self) -> None:
        """Whichever the caller gives."""
        given = {"offer_code": "code", "offer_id": 7, "product_title": "Title", "deal_is_paid": 1}
        found = []
        for name in ("offer_code", "offer_id", "product_title"):
            found.append(self.meant(deal(**given))[0].items[0].remote_product_id)
            given[name] = ""
        assert found == ["code", "7", "Title"]

    @pytest.mark.parametrize("block", [{}, {"deal_cost": 1}, {"deal_is_paid": 1}, {"deal_status": "cancelled"}])
    def test_a_deal_needs_an_offer_or_a_number(self, block: dict[str, Any]) -> None:
        """Else nobody can tell which is meant, or of what."""
        assert list(self.faults(deal(**block))) == ["deal.offer_code"]

    @pytest.mark.parametrize("block", [{"deal_status": "cancelled"}, {"payment_status": "returned"}])
    def test_a_deal_without_a_number_cannot_be_taken_back(self, block: dict[str, Any]) -> None:
        """At GetCourse it would be a new deal, cancelled from the start; what somebody has paid for is not touched."""
        assert list(self.faults(deal(offer_code="A", **block))) == ["deal.deal_number"]

    @pytest.mark.parametrize("does", Does)
    def test_statuses_do_what_the_table_says(self, does: Does) -> None:
        """Each with an offer, and by the number alone; in capitals, too."""
        by_number = {
            Does.GIVES: [Action.RESUME],
            Does.WAITS: [],
            Does.NOTES: [Action.REFUND],
            Does.TAKES: [Action.CANCEL],
            Does.REFUNDS: [Action.REFUND],
            Does.NOTHING: [],
        }[does]
        fields = [("deal_status", status) for status, done in DEAL_STATUSES.items() if done is does]
        fields += [("payment_status", status) for status, done in PAYMENT_STATUSES.items() if done is does]
        assert fields
        for name, status in fields:
            for text in (status, status.upper()):
                assert [one.action for one in self.meant(deal(deal_number=1, **{name: text}))] == by_number
                first, *rest = self.meant(deal(deal_number=1, offer_code="A", **{name: text}))
                assert (first.action, first.paid) == (Action.ENROLL, does is Does.GIVES)
                assert [one.action for one in rest] == ([] if does is Does.GIVES else by_number)

    def test_every_status_of_the_vendors_page_is_in_the_table(self) -> None:
        """In its order."""
        of_deals = (
            "new payed cancelled false in_work payment_waiting part_payed waiting_for_return not_confirmed pending"
        )
        of_payments = "expected accepted returned tobalance frombalance returned_to_balance"
        assert " ".join(DEAL_STATUSES) == of_deals
        assert " ".join(PAYMENT_STATUSES) == of_payments
        assert [status for status, does in DEAL_STATUSES.items() if does is Does.GIVES] == ["payed"]

    @pytest.mark.parametrize("yes", [1, "1", True, "yes", "Yes", "да", "ДА", "true", 1.0])
    def test_paid_is_paid_in_whatever_word(self, yes: Any) -> None:
        """Whatever stage the deal is at, unless it is taken back."""
        for status in ("", "new", "in_work", "part_payed", "payed", False):
            (bought,) = self.meant(deal(offer_code="A", deal_status=status, deal_is_paid=yes))
            assert (bought.action, bought.paid) == (Action.ENROLL, True)
        for status in ("cancelled", "false"):
            assert [one.action for one in self.meant(deal(deal_number=1, deal_status=status, deal_is_paid=yes))] == [
                Action.CANCEL
            ]

    @pytest.mark.parametrize("no", [0, "0", False, "no", "нет", "", None, "false", 0.0])
    def test_not_paid_is_not_paid_in_whatever_word(self, no: Any) -> None:
        """It gives nothing, and takes nothing away; a deal that is payed is paid all the same."""
        assert [one.paid for one in self.meant(deal(deal_number=1, offer_code="A", deal_is_paid=no))] == [False]
        assert self.meant(deal(deal_number=1, deal_is_paid=no)) == []
        assert [one.paid for one in self.meant(deal(offer_code="A", deal_status="payed", deal_is_paid=no))] == [True]

    def test_money_is_in_major_units(self) -> None:
        """A number or text with a point; what is no amount is none, and nobody is turned away for it."""
        for cost, wanted in {"64.24": "64.24", 64.24: "64.24", 5: "5", "": None, "1 990,50": None, -1: "-1"}.items():
            (bought,) = self.meant(deal(offer_code="A", deal_cost=cost, deal_is_paid=1))
            assert bought.items[0].amount_paid == bought.order.total == (Decimal(wanted) if wanted else None)

    @pytest.mark.parametrize(("given", "wanted"), [(3, 3), ("2", 2), (0, 1), (-1, 1), ("x", 1), (10**17, 2**31 - 1)])
    def test_quantities_are_counts(self, given: Any, wanted: int) -> None:
        """One where it is nonsense, and never more than a database can count."""
        assert self.meant(deal(offer_code="A", quantity=given, deal_is_paid=1))[0].items[0].quantity == wanted

    def test_unknown_blocks_and_fields_are_no_fault(self) -> None:
        """Callers send more than the page knows."""
        block = {"deal_fields": {"Статус": "Напомнить"}, "product_ids": [1], "id": 3, "deal_id": 7, "deal_number": "1"}
        blocks = {"user": {"email": EMAIL}, "deal": block, "payment": {"payment_id": 1}, "message": []}
        assert self.meant(call(blocks)) == []

    def test_a_field_named_key_is_no_data(self) -> None:
        """It is blank once the event is stored."""
        blocks = {"user": {"email": EMAIL, "addfields": {"key": "x", "a\0b": "c\0", "n": 5, "l": [1], "e": ""}}}
        learner = self.adapter().normalise(call(blocks, USERS))[0].learner
        assert learner == Learner(email=EMAIL, attributes={"ab": "c", "n": "5"})

    @given(blocks=ANY_JSON | st.fixed_dictionaries({"user": ANY_JSON, "deal": ANY_JSON}))
    @GARBAGE
    def test_endures_any_json_in_params(self, blocks: Any) -> None:
        """Base64 hides it from the suite."""
        self.endures(call(blocks, "/in/source"))

    @pytest.mark.parametrize("name", ["deal", "user"])
    def test_endures_hostile_values_in_params(self, name: str) -> None:
        """One field after the other."""
        blocks = {
            "user": {"email": EMAIL, "first_name": "A", "group_name": [["A", "2023-05-01"]], "addfields": {"a": "b"}},
            "deal": {"deal_number": 1, "offer_code": "A", "quantity": 1, "deal_cost": 1, "deal_is_paid": 1},
        }
        blocks["deal"] |= {"deal_status": "payed", "payment_status": "x", "deal_currency": "RUB", "payment_type": "x"}
        for field in blocks[name]:
            text = json.dumps({**blocks, name: {**blocks[name], field: "@@"}}).encode()
            for value in HOSTILE_JSON:
                params = base64.b64encode(text.replace(b'"@@"', value)).decode()
                event = request(f"key={KEY}&action=add&params={quote(params)}".encode(), path=DEALS)
                self.endures(event)
                for kind in ("accepted", "invalid"):
                    assert orjson.dumps(self.answer(event, kind))

    LINE = AcceptedLine(583_919, "A", "https://x.example/a", False, "pending")

    def test_answers_a_person_with_our_number_of_them(self) -> None:
        """Also where no group was mapped: the person is kept."""
        event = call({"user": {"email": EMAIL, "group_name": ["A"]}}, USERS)
        for kind in ("accepted", "unmapped", "ignored"):
            assert self.answer(event, kind, learner_id=7) == {
                "success": True,
                "action": "add",
                "result": {
                    "success": True,
                    "user_id": 7,
                    "user_status": "added",
                    "deal_id": None,
                    "deal_number": "",
                    "error": False,
                    "error_message": "",
                },
            }

    def test_answers_a_deal_with_its_registration(self) -> None:
        """Not with that of a group; the course's address only where a link is asked for."""
        group = AcceptedLine(1, "group:A", None, False, "pending")
        event = deal(deal_number=42, offer_code="A", deal_is_paid=1)
        result = self.answer(event, "accepted", group, self.LINE, learner_id=7)["result"]
        assert (result["deal_id"], result["deal_number"], result["user_id"]) == (583_919, "42", 7)
        assert "payment_link" not in result
        for flag in (1, "1", True):
            blocks = {"user": {"email": EMAIL}, "system": {"return_payment_link": flag}, "deal": {"offer_code": "A"}}
            assert self.answer(call(blocks), "accepted", self.LINE)["result"]["payment_link"] == "https://x.example/a"
            assert self.answer(call(blocks), "accepted")["result"]["payment_link"] == ""

    @pytest.mark.parametrize(
        ("block", "kind", "good"),
        [
            ({"offer_code": "A", "deal_is_paid": 1}, "unmapped", False),
            ({"offer_code": "A", "deal_is_paid": 1}, "ignored", True),
            ({"offer_code": "A", "deal_number": 1}, "unmapped", False),
            ({"offer_code": "A"}, "accepted", True),
            ({"deal_number": 1, "deal_status": "payed"}, "accepted", False),
            ({"deal_number": 1, "deal_status": "waiting_for_return"}, "not_found", False),
            ({"deal_number": 1, "deal_status": "new"}, "accepted", True),
            ({"deal_number": 1, "deal_status": "cancelled"}, "accepted", True),
            ({"deal_number": 1, "offer_code": "A", "payment_status": "returned"}, "not_found", True),
        ],
    )
    def test_what_came_to_nothing_is_told(self, block: dict[str, Any], kind: Any, good: bool) -> None:
        """An offer that nobody mapped, a payment of a deal that nobody knows; but what is not there can't be taken away."""
        assert self.answer(deal(**block), kind)["success"] is good

    def test_a_refusal_says_what_is_wrong(self) -> None:
        """In all the places where clients look for it."""
        said = self.answer(deal(), "invalid", faults={"a": "One.", "b": "Two."})
        assert said["error"] == said["error_message"] == said["result"]["error_message"] == "One. Two."

    def test_a_call_that_cannot_be_read_has_an_answer_all_the_same(self) -> None:
        """Too large to be read, of another method, in no known form."""
        for event in (request(), request(b"\xff"), request(b"{"), request(method="GET", path=USERS)):
            assert self.answer(event, "too_large")["action"] == ""


def nikta(said: Any) -> bool:
    """NiktarioN/getcourse-api: reads ``result.error`` of any answer, whether or not there is a result."""
    true = (True, "true", 1, "1")
    return said["success"] in true and said["result"]["error"] not in true


def belyaev(said: Any) -> bool | str:
    """belyaev-dev/getcourse-js-sdk: compares with true and false, and knows a wrong key by the words."""
    if said["success"] is False:
        return "key" if said["error"] == "Неавторизованное API-обращение" else False
    return not (said["result"]["success"] is False and said["result"]["error"] is True)


def n8n(said: Any) -> bool:
    """zenland-dev/n8n-nodes-getcourse: looks at all three."""
    return bool(said["success"]) and not said["result"]["error"] and bool(said["result"]["success"])


def lava(said: Any) -> bool | str:
    """PetrMarketing/lava-getcourse: looks at the outermost only, and for a word in its text."""
    return True if said["success"] else "key" if "key" in said.get("error_message", "") else False


def inner(said: Any) -> bool:
    """A public function that looks at the innermost only."""
    return said["result"]["success"] is True


def either(said: Any) -> bool:
    """Another one, which is content with either."""
    return bool(said["success"] or said["result"]["success"])


@pytest.mark.parametrize("client", [nikta, belyaev, n8n, lava, inner, either])
def test_every_public_client_sees_right_what_came_of_its_call(client: Any) -> None:
    """Whichever part of the answer it looks at."""
    suite = TestGetcourse()
    paid = deal(offer_code="A", deal_is_paid=1)
    group = call({"user": {"email": EMAIL, "group_name": ["A"]}}, USERS)
    line = TestGetcourse.LINE
    for good in (suite.answer(paid, "accepted", line), suite.answer(group, "unmapped"), suite.answer(group)):
        assert client(json.loads(orjson.dumps(good))) is True
    for kind in ("unmapped", "invalid", "unreadable", "unavailable"):
        assert client(json.loads(orjson.dumps(suite.answer(paid, kind)))) is False
    wrong = client(json.loads(orjson.dumps(suite.answer(paid, "unauthorised"))))
    assert wrong == ("key" if client in (belyaev, lava) else False)
