"""10XPRO as a target: the suite, then what only 10XPRO does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar
from urllib.parse import parse_qsl

import pytest
from pydantic import ValidationError

from bridge.contract.outbound import NeedsOperator, Operation, Receipt, Refs, Refused, Terms, TryLater
from connectors.outbound.tenxpro import TenxproCourse, TenxproSettings
from tests.suites.outbound import ADA, LmsSuite, Rig

MOVED = ADA.model_copy(update={"email": "ada@elsewhere.example.org"})


def form(rig: Rig, nth: int = -1) -> dict[str, str]:
    """Return the parameters of a call."""
    return dict(parse_qsl(rig.emulator.journal[nth].body.decode(), keep_blank_values=True))


def said(rig: Rig, name: str) -> str:
    """Return what an operator is told to do about an error."""
    return rig.connector.errors[name].next_step


class TestTenxpro(LmsSuite):
    """The custom API as a client."""

    type = "tenxpro"
    course: ClassVar[dict[str, Any]] = {"course_id": 3}

    async def test_a_grant_is_the_documented_purchase(self, rig: Rig) -> None:
        """The secret in the address, as in the URL that the site shows; the rest as a form."""
        await rig.do(Operation.GRANT, terms=Terms(full_access=True, send_email=False))
        call = rig.emulator.journal[-1]
        assert (call.method, call.path, call.query) == ("POST", "/customapi.php", {"secret": "sandbox-tenxpro-secret"})
        assert form(rig) == {
            "type": "purchase",
            "course_id": "3",
            "email": "Ada.Lovelace@example.org",
            "first_name": "Ada",
            "last_name": "Lovelace",
            "full_access": "yes",
            "send_mail": "no",
        }

    async def test_a_revocation_is_the_documented_credit(self, rig: Rig) -> None:
        """It names the person and the course, and nothing else."""
        granted = await rig.do(Operation.GRANT)
        await rig.do(Operation.REVOKE, refs=granted.refs)
        assert form(rig) == {"type": "credit", "course_id": "3", "email": "Ada.Lovelace@example.org"}

    @pytest.mark.parametrize(
        ("table", "what", "full"),
        [
            ({"course_id": "3"}, "course:3", "full_access"),
            ({"forum_category_id": 7}, "forum_category:7", "forum_full_access"),
            ({"bundle_id": 2}, "bundle:2", "full_access"),
        ],
    )
    async def test_each_kind_is_given_and_taken(self, rig: Rig, table: dict[str, Any], what: str, full: str) -> None:
        """A course, a category of the forum, a bundle."""
        granted = await rig.do(Operation.GRANT, table=table, terms=Terms(full_access=True))
        assert form(rig)[full] == "yes"
        assert rig.live() == [("ada.lovelace@example.org", what)]
        assert isinstance(await rig.do(Operation.REVOKE, table=table, refs=granted.refs), Receipt)
        assert rig.live() == []

    @pytest.mark.parametrize("send", [True, None])
    async def test_the_mail_with_the_login_goes_out_unless_the_order_says_no(self, rig: Rig, send: bool | None) -> None:
        """The vendor's default is to send."""
        await rig.do(Operation.GRANT, terms=Terms(send_email=send))
        assert "send_mail" not in form(rig)
        assert rig.emulator.mails == [ADA.email]

    async def test_no_mail_on_an_update(self, rig: Rig) -> None:
        """Somebody whose name changed has the login already; the drip stays as the order says."""
        granted = await rig.do(Operation.GRANT, terms=Terms(send_email=True))
        await rig.do(Operation.UPDATE, refs=granted.refs, terms=Terms(send_email=True))
        assert "full_access" not in form(rig)
        assert len(rig.emulator.mails) == 1

    async def test_a_changed_address_gets_in_and_the_operator_hears_of_the_former_one(self, rig: Rig) -> None:
        """Told once: requeued, the same update is a receipt. The login goes to the new address."""
        granted = await rig.do(Operation.GRANT)
        told = await rig.do(Operation.UPDATE, MOVED, refs=granted.refs)
        assert isinstance(told, NeedsOperator)
        assert (told.scope, told.remedy) == ("delivery", said(rig, "address-changed"))
        assert told.steps == {"by-hand"}
        assert ("ada@elsewhere.example.org", "course:3") in rig.live()
        assert rig.emulator.mails == [ADA.email, MOVED.email]
        assert isinstance(await rig.do(Operation.UPDATE, MOVED, refs=told.refs), Receipt)

    async def test_a_revocation_after_a_changed_address_tells_the_operator(self, rig: Rig) -> None:
        """The account of the former address is still in, and we don't know the address any more."""
        granted = await rig.do(Operation.GRANT)
        told = await rig.do(Operation.REVOKE, MOVED, refs=granted.refs)
        assert isinstance(told, NeedsOperator)
        assert isinstance(await rig.do(Operation.REVOKE, MOVED, refs=told.refs), Receipt)

    async def test_an_address_that_changed_after_a_revocation_is_nobodys_trouble(self, rig: Rig) -> None:
        """Nothing is left at the former one when the course is bought again."""
        granted = await rig.do(Operation.GRANT)
        revoked = await rig.do(Operation.REVOKE, refs=granted.refs)
        assert isinstance(await rig.do(Operation.GRANT, MOVED, refs=revoked.refs), Receipt)
        assert rig.live() == [("ada@elsewhere.example.org", "course:3")]

    async def test_another_spelling_of_the_address_is_the_same_one(self, rig: Rig) -> None:
        """No account is missed for a capital letter."""
        granted = await rig.do(Operation.GRANT)
        same = ADA.model_copy(update={"email": str(ADA.email).lower()})
        assert isinstance(await rig.do(Operation.UPDATE, same, refs=granted.refs), Receipt)

    async def test_no_address_is_kept_in_the_refs(self, rig: Rig) -> None:
        """A digest is enough to see that it changed."""
        granted = await rig.do(Operation.GRANT)
        assert granted.refs.right["course"] == "3"
        assert "@" not in repr(granted.refs)

    async def test_somebody_who_never_was_there_is_revoked_already(self, rig: Rig) -> None:
        """Nothing is left to take away."""
        assert isinstance(await rig.do(Operation.REVOKE, unknown=True), Receipt)

    async def test_a_learner_without_an_address_is_not_sent(self, rig: Rig) -> None:
        """10XPRO knows people by nothing else."""
        outcome = await rig.do(Operation.GRANT, ADA.model_copy(update={"email": None}), person="learner:7")
        assert outcome == rig.connector.errors["no-email"].refused("")
        assert rig.emulator.journal == []

    @pytest.mark.parametrize("answers", ["json", "text", "nothing"])
    async def test_a_yes_may_be_json_words_or_nothing(self, rig: Rig, answers: str) -> None:
        """The vendor does not tell what it answers."""
        rig.emulator.answers = answers
        assert isinstance(await rig.do(Operation.GRANT), Receipt)
        assert isinstance(await rig.connector.check(), Receipt)
        rig.emulator.courses = {"4"}
        wrong = await rig.do(Operation.GRANT)
        assert isinstance(wrong, Refused)
        assert wrong.remedy == said(rig, "no-such-product")

    @pytest.mark.parametrize("answers", ["json", "text"])
    async def test_a_wrong_secret_stops_the_lane_however_it_is_said(self, rig: Rig, answers: str) -> None:
        """By a status, or only by the words."""
        rig.emulator.answers = answers
        settings = TenxproSettings(connector="tenxpro", base_url=rig.emulator.base_url, secret="other")
        rig.connector._settings = settings
        for outcome in (await rig.do(Operation.GRANT), await rig.connector.check()):
            assert isinstance(outcome, NeedsOperator)
            assert (outcome.scope, outcome.remedy) == ("lane", said(rig, "secret"))

    @pytest.mark.parametrize(
        ("status", "body", "name"),
        [
            (200, {"success": False, "errors": {"email": "not an address"}}, "person-refused"),
            (200, {"status": "error", "message": "bundle 2"}, "no-such-product"),
            (200, {"success": "false"}, "refused"),
            (200, "Invalid e-mail", "person-refused"),
            (200, "Failed.", "refused"),
            (400, "no", "refused"),
            (422, {"message": "no"}, "refused"),
            (409, {"message": "no"}, "refused"),
        ],
    )
    async def test_a_no_is_refused_in_the_words_that_came(self, rig: Rig, status: int, body: object, name: str) -> None:
        """Each with its own advice."""
        rig.emulator.now_fails("status", status=status, body=body)
        outcome = await rig.do(Operation.GRANT)
        assert isinstance(outcome, Refused)
        assert outcome.remedy == said(rig, name)

    @pytest.mark.parametrize("status", [404, 410])
    async def test_an_address_without_the_api_stops_the_lane(self, rig: Rig, status: int) -> None:
        """The switch in the site's settings, or base_url."""
        rig.emulator.now_fails("status", status=status, body="<html>not found</html>")
        for outcome in (await rig.do(Operation.REVOKE), await rig.connector.check()):
            assert isinstance(outcome, NeedsOperator)
            assert (outcome.scope, outcome.remedy) == ("lane", said(rig, "no-api"))

    @pytest.mark.parametrize("words", ["{0} {1} was registered", "{1}, {0} ({2}): done"])
    async def test_a_name_is_no_refusal(self, rig: Rig, words: str) -> None:
        """Somebody who got in is not a dead letter for being called Will Fail, nor does Ann Secret stop the lane."""
        for first, last in (("Will", "Fail"), ("Ann", "Secret"), ("Missing", "O'Error <b>")):
            named = ADA.model_copy(update={"first_name": first, "last_name": last, "email": "error@example.org"})
            rig.emulator.now_fails("status", status=200, body=words.format(first, last, named.email), times=1)
            assert isinstance(await rig.do(Operation.GRANT, named), Receipt)

    async def test_a_refusal_in_the_words_of_a_name_is_one_all_the_same(self, rig: Rig) -> None:
        """Mr Denied is not in because access was denied."""
        rig.emulator.now_fails("status", status=200, body="Access denied")
        assert not isinstance(await rig.do(Operation.GRANT, ADA.model_copy(update={"last_name": "Denied"})), Receipt)

    @pytest.mark.parametrize("body", ["false", "0"])
    async def test_a_bare_no_is_no_yes(self, rig: Rig, body: str) -> None:
        """Nobody is reported as let in by it."""
        rig.emulator.now_fails("status", status=200, body=body)
        assert isinstance(await rig.do(Operation.GRANT), Refused)

    async def test_an_unknown_course_is_no_revocation(self, rig: Rig) -> None:
        """Only a person who isn't there has nothing to lose."""
        await rig.do(Operation.GRANT)
        rig.emulator.courses = set()
        outcome = await rig.do(Operation.REVOKE)
        assert isinstance(outcome, Refused)
        assert outcome.remedy == said(rig, "no-such-product")

    async def test_check_has_no_effect(self, rig: Rig) -> None:
        """A call without a type buys nothing."""
        await rig.connector.check()
        (call,) = rig.emulator.journal
        assert (call.method, call.query, call.body) == ("GET", {"secret": "sandbox-tenxpro-secret"}, b"")
        assert rig.emulator.holdings() == []

    async def test_a_proxys_page_is_not_well(self, rig: Rig) -> None:
        """It says nothing of the site behind it."""
        rig.emulator.now_fails("garbage")
        assert isinstance(await rig.connector.check(), TryLater)

    async def test_the_doctor_has_nothing_to_look_up(self, rig: Rig) -> None:
        """A call that names a course would buy it."""
        assert await rig.connector.examine(rig.tables(), fix=False) == []
        assert rig.emulator.journal == []

    async def test_refs_of_an_earlier_version_without_a_digest_do(self, rig: Rig) -> None:
        """Nobody is told of a change that can't be seen."""
        granted = await rig.do(Operation.GRANT)
        bare = replace(granted, refs=Refs(right={"course": "3"}))
        assert isinstance(await rig.do(Operation.UPDATE, MOVED, refs=bare.refs), Receipt)


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ({}, "exactly one of course_id, forum_category_id and bundle_id"),
        ({"course_id": 3, "bundle_id": 2}, "exactly one of course_id, forum_category_id and bundle_id"),
        ({"course_id": "intro"}, "expected the number that 10XPRO shows"),
        ({"course_id": True}, "valid integer"),
    ],
)
def test_a_table_that_names_no_one_thing_is_a_fault(table: dict[str, Any], told: str) -> None:
    """Said when the configuration is read."""
    with pytest.raises(ValidationError, match=told):
        TenxproCourse.model_validate(table)


def test_an_id_has_one_spelling() -> None:
    """Two tables of one course are one remote course."""
    assert TenxproCourse.model_validate({"course_id": 3}) == TenxproCourse.model_validate({"course_id": " 3"})


def test_the_whole_url_of_the_page_is_a_fault() -> None:
    """It holds the secret, which does not belong into an address."""
    given = {"connector": "tenxpro", "base_url": "https://x.example.org/customapi.php?secret=1", "secret": "s"}
    with pytest.raises(ValidationError, match="expected the address of the site alone"):
        TenxproSettings.model_validate(given)
