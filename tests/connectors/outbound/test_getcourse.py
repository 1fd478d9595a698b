"""GetCourse as a target: the suite, then what its import API is told and says."""

from __future__ import annotations

import base64
from dataclasses import replace
from decimal import Decimal
from typing import Any, ClassVar
from urllib.parse import parse_qs

import orjson
import pytest
from pydantic import ValidationError

from bridge.contract.errors import AnswerLost
from bridge.contract.outbound import NeedsOperator, Operation, Receipt, Refused, TryLater
from bridge.kit.http import Exchange, exchanges
from connectors.outbound.getcourse.settings import GetcourseCourse, GetcourseSettings
from tests.suites.outbound import ADA, LmsSuite, OutboundSuite, Rig

MOVED = ADA.model_copy(update={"email": "ada@elsewhere.example.org"})
BOTH: dict[str, Any] = {"offer_code": "intro-ce", "group_name": "Students"}


def sent(rig: Rig, nth: int = -1) -> dict[str, Any]:
    """Return the parameters of an import."""
    form = {name: values[0] for name, values in parse_qs(rig.emulator.journal[nth].body.decode()).items()}
    assert (form["action"], form["key"]) == ("add", "sandbox-getcourse-key")
    return orjson.loads(base64.b64decode(form["params"]))  # type: ignore[no-any-return] # an object


def said(rig: Rig, name: str) -> str:
    """Return what an operator is told to do about an error."""
    return rig.connector.errors[name].next_step


class TestGetcourse(LmsSuite):
    """Orders of an offer, taken away by a process at GetCourse."""

    type = "getcourse"
    target: ClassVar[dict[str, Any]] = {"status_field": "Bridge status", "confirm_revocations": False}
    course: ClassVar[dict[str, Any]] = {"offer_code": "intro-ce"}
    requests = 2
    missing: ClassVar[dict[str, Any]] = {"offer_code": "intro-ce", "group_name": "Nowhere"}

    async def test_a_grant_makes_the_account_then_the_order(self, rig: Rig) -> None:
        """The account that is there stays as it is; the order carries our key as its number."""
        learner = ADA.model_copy(update={"phone": "+441234567"})
        granted = await rig.do(Operation.GRANT, learner)
        assert isinstance(granted, Receipt)
        assert [seen.path for seen in rig.emulator.journal] == ["/pl/api/users", "/pl/api/deals"]
        assert sent(rig, 0) == {
            "user": {
                "email": "Ada.Lovelace@example.org",
                "first_name": "Ada",
                "last_name": "Lovelace",
                "phone": "+441234567",
            },
            "system": {"refresh_if_exists": 0},
        }
        assert sent(rig, 1) == {
            "user": {"email": "Ada.Lovelace@example.org"},
            "system": {"refresh_if_exists": 1, "return_deal_number": 1, "return_payment_link": 1},
            "deal": {
                "deal_number": "right-4711",
                "offer_code": "intro-ce",
                "deal_cost": "49.90",
                "deal_currency": "EUR",
                "quantity": 1,
                "deal_status": "payed",
                "deal_is_paid": 1,
                "addfields": {"Bridge status": "payed"},
            },
        }
        assert granted.refs.right["number"] == "right-4711"
        assert granted.refs.right["payment_link"].endswith(granted.refs.right["deal"])

    async def test_a_known_person_needs_one_request(self, rig: Rig) -> None:
        """The account's id is remembered."""
        first = await rig.do(Operation.GRANT)
        await rig.do(Operation.GRANT, refs=first.refs)
        assert [seen.path for seen in rig.emulator.journal[2:]] == ["/pl/api/deals"]

    async def test_a_repeat_changes_the_same_order(self, rig: Rig) -> None:
        """One order, paid once."""
        await rig.do(Operation.GRANT)
        await rig.do(Operation.GRANT, unknown=True)
        (deal,) = rig.emulator.deals.values()
        assert (deal["payments"], deal["status"], deal["access"]) == (1, "payed", True)

    async def test_an_offer_may_be_named_by_its_title(self, rig: Rig) -> None:
        """Where it has no code."""
        await rig.do(Operation.GRANT, table={"product_title": "Intro"})
        assert sent(rig)["deal"]["product_title"] == "Intro"
        assert "offer_code" not in sent(rig)["deal"]

    async def test_a_group_goes_with_the_order(self, rig: Rig) -> None:
        """In the same call, by a flag that adds and takes nothing."""
        await rig.do(Operation.GRANT, table=BOTH)
        assert sent(rig)["user"] == {"email": "Ada.Lovelace@example.org", "group_name": ["Students"]}
        assert len(rig.live()) == 2

    async def test_an_account_that_is_there_keeps_its_name_and_its_groups(self, rig: Rig) -> None:
        """Buying a course is no reason to change what somebody wrote of themselves."""
        there = {
            "id": 7,
            "email": ADA.email,
            "first_name": "Augusta",
            "last_name": "King",
            "groups": {"Staff": "2020-01-01"},
        }
        rig.emulator.people[str(ADA.email).lower()] = there
        granted = await rig.do(Operation.GRANT, table=BOTH)
        assert granted.refs.person == {"user": "7"}
        assert (there["first_name"], there["last_name"]) == ("Augusta", "King")
        assert set(there["groups"]) == {"Staff", "Students"}

    async def test_an_account_whose_making_is_refused_because_it_is_there_will_do(self, rig: Rig) -> None:
        """What GetCourse says of it without the flag is not written anywhere."""
        body = {
            "success": True,
            "result": {"success": False, "error": True, "error_message": "Пользователь уже существует"},
        }
        rig.emulator.now_fails("status", status=200, times=1, body=body)
        assert isinstance(await rig.do(Operation.GRANT), Receipt)

    async def test_an_update_writes_the_name_and_nothing_else(self, rig: Rig) -> None:
        """No empty field, which might erase one; no order."""
        granted = await rig.do(Operation.GRANT)
        await rig.do(Operation.UPDATE, ADA.model_copy(update={"first_name": ""}), refs=granted.refs)
        assert rig.emulator.journal[-1].path == "/pl/api/users"
        assert sent(rig) == {
            "user": {"email": "Ada.Lovelace@example.org", "last_name": "Lovelace"},
            "system": {"refresh_if_exists": 1},
        }

    async def test_a_revocation_writes_the_field_and_not_the_price(self, rig: Rig) -> None:
        """The vendor's way: a process changes the status, and with it the purchase."""
        granted = await rig.do(Operation.GRANT)
        await rig.do(Operation.REVOKE, refs=granted.refs)
        assert sent(rig)["deal"] == {
            "deal_number": "right-4711",
            "offer_code": "intro-ce",
            "addfields": {"Bridge status": "cancelled"},
        }
        assert rig.emulator.deals["right-4711"]["status"] == "cancelled"

    async def test_a_revocation_of_an_order_that_never_came_makes_none_that_gives_access(self, rig: Rig) -> None:
        """The grant's answer was lost, and the grant with it."""
        assert isinstance(await rig.do(Operation.REVOKE, unknown=True), Receipt)
        assert rig.live() == []

    @pytest.mark.parametrize(
        ("amount", "currency", "deal"),
        [
            (Decimal(100), None, {"deal_cost": "100"}),
            (None, "eur", {"deal_cost": "0", "deal_currency": "EUR"}),
            (Decimal(4990), "XOF", {"deal_cost": "0", "deal_comment": "4990 XOF"}),
        ],
    )
    async def test_an_amount_is_never_booked_in_another_currency(
        self, rig: Rig, amount: Decimal | None, currency: str | None, deal: dict[str, str]
    ) -> None:
        """Without a currency it is the account's own; one that GetCourse doesn't take goes into the comment."""
        work = replace(rig.work(Operation.GRANT), amount_paid=amount, currency=currency)
        (outcome,) = await rig.deliver([work])
        assert isinstance(outcome, Receipt)
        told = {
            name: value
            for name, value in sent(rig)["deal"].items()
            if name in ("deal_cost", "deal_currency", "deal_comment")
        }
        assert told == deal
        assert ("XOF" in outcome.note) == (currency == "XOF")

    async def test_a_changed_address_is_the_operators(self, rig: Rig) -> None:
        """GetCourse's API would make a second account; once the operator has changed it there, a requeue goes on."""
        granted = await rig.do(Operation.GRANT)
        asked = await rig.do(Operation.UPDATE, MOVED, refs=granted.refs)
        assert isinstance(asked, NeedsOperator)
        assert (asked.scope, asked.remedy) == ("delivery", said(rig, "address-changed"))
        assert "by-hand" in asked.steps
        assert len(rig.emulator.journal) == 2
        person = rig.emulator.people.pop(str(ADA.email).lower())
        rig.emulator.people[str(MOVED.email)] = person | {"email": MOVED.email}
        done = await rig.do(Operation.UPDATE, MOVED, refs=granted.refs, steps=asked.steps)
        assert isinstance(done, Receipt)
        assert done.refs.right["address"] != granted.refs.right["address"]
        assert isinstance(await rig.do(Operation.UPDATE, MOVED, refs=done.refs), Receipt)

    async def test_an_address_of_another_account_is_the_operators_too(self, rig: Rig) -> None:
        """Access would be given to one and taken from the other."""
        granted = await rig.do(Operation.GRANT)
        outcome = await rig.do(Operation.UPDATE, MOVED, refs=granted.refs, steps=frozenset({"address"}))
        assert isinstance(outcome, NeedsOperator)
        assert outcome.remedy == said(rig, "another-account")
        assert outcome.refs.person == granted.refs.person

    @pytest.mark.parametrize("operation", [Operation.GRANT, Operation.REVOKE])
    async def test_a_changed_address_stops_every_operation(self, rig: Rig, operation: Operation) -> None:
        """An order has one owner."""
        granted = await rig.do(Operation.GRANT)
        outcome = await rig.do(operation, MOVED, refs=granted.refs)
        assert isinstance(outcome, NeedsOperator)
        assert outcome.remedy == said(rig, "address-changed")

    async def test_a_learner_without_an_address_is_not_sent(self, rig: Rig) -> None:
        """GetCourse knows people by it."""
        outcome = await rig.do(Operation.GRANT, ADA.model_copy(update={"email": None}), person="learner:7")
        assert outcome == rig.connector.errors["no-email"].refused("")
        assert rig.emulator.journal == []

    async def test_the_record_holds_what_was_sent_masked(self, rig: Rig) -> None:
        """Base64 hides nothing from whoever reads the record."""
        _, story = await rig.told(Operation.GRANT)
        assert [exchange.sent["params"]["user"]["email"] for exchange in story] == ["•••", "•••"]
        assert story[1].sent["params"]["deal"]["offer_code"] == "intro-ce"

    async def test_a_lost_answer_leaves_a_masked_record_too(self, rig: Rig) -> None:
        """That is the attempt that somebody will look at."""
        rig.emulator.now_fails("cut")
        story: list[Exchange] = []
        token = exchanges.set(story)
        with pytest.raises(AnswerLost):
            await rig.do(Operation.GRANT)
        exchanges.reset(token)
        assert story[0].sent["params"]["user"]["last_name"] == "•••"

    async def test_ids_learnt_before_a_failure_are_kept(self, rig: Rig) -> None:
        """The next try goes on from the account."""
        rig.emulator.courses = {"other"}
        outcome = await rig.do(Operation.GRANT)
        assert isinstance(outcome, Refused)
        assert outcome.remedy == said(rig, "no-such-offer")
        assert outcome.refs.person["user"] == str(rig.emulator.people[str(ADA.email).lower()]["id"])

    @pytest.mark.parametrize(
        ("body", "name", "lane"),
        [
            ({"success": False, "error": "Неавторизованное API-обращение"}, "key", True),
            ({"success": False, "error": True, "error_message": "Access denied"}, "key", True),
            ({"success": "false", "error_code": "901"}, "key", True),
            ({"success": False, "error_code": 917, "error": "x"}, "no-import", True),
            ({"success": False, "error": "Действие запрещено"}, "read-only-key", True),
            ({"success": True, "result": {"success": False, "error_message": "Достигнут лимит"}}, "allowance", True),
            ({"success": False, "error": "Пустой параметр action"}, "body-lost", True),
            (
                {"success": "true", "result": {"success": "false", "error": "true", "error_message": "offer?"}},
                "no-such-offer",
                False,
            ),
            (
                {"success": True, "result": {"error": True, "error_message": "email?"}},
                "person-refused",
                False,
            ),
            ({"success": True, "result": {"success": False, "error_message": "?"}}, "refused", False),
            ({"success": False}, "refused", False),
        ],
    )
    async def test_each_error_at_200_has_its_advice(
        self, rig: Rig, body: dict[str, Any], name: str, lane: bool
    ) -> None:
        """Told by a code or by words, outside or inside, as booleans or as text."""
        rig.emulator.now_fails("status", status=200, body=body)
        outcome = await rig.do(Operation.GRANT)
        assert isinstance(outcome, NeedsOperator if lane else Refused), outcome
        assert outcome.remedy == said(rig, name)
        if isinstance(outcome, NeedsOperator):
            assert outcome.scope == "lane"

    @pytest.mark.parametrize(
        "body", [{"success": False, "error_code": 903}, {"success": 0, "error": "Слишком много запросов"}]
    )
    async def test_too_many_requests_slow_the_lane(self, rig: Rig, body: dict[str, Any]) -> None:
        """Said at 200, too."""
        rig.emulator.now_fails("status", status=200, body=body)
        outcome = await rig.do(Operation.GRANT)
        assert isinstance(outcome, TryLater)
        assert (outcome.scope, outcome.cause, outcome.after) == ("lane", "throttled", 900.0)

    async def test_no_answer_at_all_is_an_account_without_import(self, rig: Rig) -> None:
        """So GetCourse refuses it: 200, and nothing."""
        rig.emulator.imports = False
        outcome = await rig.do(Operation.GRANT)
        assert isinstance(outcome, NeedsOperator)
        assert (outcome.scope, outcome.remedy) == ("lane", said(rig, "no-import"))

    @pytest.mark.parametrize(("status", "name"), [(404, "no-account"), (302, "redirected"), (403, "credentials")])
    async def test_a_wrong_address_stops_the_lane(self, rig: Rig, status: int, name: str) -> None:
        """A redirect is not followed: it would lose the body and show the key to another host."""
        rig.emulator.now_fails("status", status=status, body="Wrong subdomain")
        outcome = await rig.do(Operation.GRANT)
        assert isinstance(outcome, NeedsOperator)
        assert (outcome.scope, outcome.remedy) == ("lane", said(rig, name))

    async def test_a_yes_that_names_nobody_is_no_receipt(self, rig: Rig) -> None:
        """Half an answer."""
        rig.emulator.now_fails("status", status=200, path="deals", body={"success": True, "result": {"success": True}})
        outcome = await rig.do(Operation.GRANT)
        assert isinstance(outcome, TryLater)
        assert (outcome.applied, outcome.cause) == ("unknown", "outage")

    async def test_flags_may_be_text(self, rig: Rig) -> None:
        """The vendor's page shows them so."""
        result = {"success": "true", "user_id": "81", "error": "false", "error_message": ""}
        rig.emulator.now_fails("status", status=200, body={"success": "true", "action": "add", "result": result})
        outcome = await rig.do(Operation.GRANT)
        assert isinstance(outcome, Receipt)
        assert outcome.refs.person == {"user": "81"}


class TestGetcourseGroup(OutboundSuite):
    """A group alone."""

    type = "getcourse"
    course: ClassVar[dict[str, Any]] = {"group_name": "Students"}
    requests = 2
    missing: ClassVar[dict[str, Any]] = {"group_name": "Nowhere"}

    async def test_a_person_is_added_to_the_group(self, rig: Rig) -> None:
        """By the flag that lets an existing account's groups be added to."""
        await rig.do(Operation.GRANT)
        assert sent(rig) == {
            "user": {"email": "Ada.Lovelace@example.org", "group_name": ["Students"]},
            "system": {"refresh_if_exists": 1},
        }
        assert rig.emulator.deals == {}


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ({}, "expected offer_code or product_title, group_name, or"),
        ({"offer_code": "a", "product_title": "b"}, "expected offer_code or product_title, not both"),
        ({"offer_code": " "}, "expected a code or a name as GetCourse shows it"),
    ],
)
def test_a_table_that_names_nothing_is_a_fault(table: dict[str, Any], told: str) -> None:
    """Said when the configuration is read."""
    with pytest.raises(ValidationError, match=told):
        GetcourseCourse.model_validate(table)


def test_a_code_has_one_spelling() -> None:
    """Two tables of one offer are one remote course."""
    assert GetcourseCourse.model_validate({"offer_code": 17}) == GetcourseCourse.model_validate({"offer_code": " 17"})


@pytest.mark.parametrize("address", ["https://x.getcourse.ru/pl/api", "https://x.getcourse.ru/?key=1"])
def test_an_address_with_a_path_is_a_fault(address: str) -> None:
    """The connector knows the paths."""
    with pytest.raises(ValidationError, match="expected the address of the account alone"):
        GetcourseSettings.model_validate({"connector": "getcourse", "base_url": address, "key": "k"})
