"""Moodle as a target: the suite, then what only Moodle does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import aiohttp
import pytest

from bridge.contract.command import Learner
from bridge.contract.outbound import NeedsOperator, Operation, Receipt, Refs, Refused, Terms
from bridge.kit.http import exchanges
from connectors.outbound.moodle.people import user_name
from connectors.sandbox.moodle import Moodle
from tests.connectors.outbound.moodle_rig import CYD, calls, forms, receipt, rig_for
from tests.suites.outbound import ADA, BOB, LmsSuite, Rig

END = datetime(2027, 11, 22, 10, tzinfo=UTC)
STAMP = int(END.timestamp())


@pytest.fixture
async def site():
    async with Moodle() as moodle:
        yield moodle


@pytest.fixture
async def session():
    async with aiohttp.ClientSession() as opened:
        yield opened


class TestMoodle(LmsSuite):
    """The web service functions as a client."""

    type = "moodle"
    course: ClassVar[dict[str, Any]] = {"course_id": 7}
    requests = 4
    missing: ClassVar[dict[str, Any]] = {"course_id": 999_999}

    async def test_makes_and_enrols_with_the_documented_fields(self, rig: Rig) -> None:
        """Looked up by address and user name, made, and enrolled with dates that are written out."""
        done = receipt(await rig.do(Operation.GRANT, terms=Terms(expires_at=END)))
        email = "ada.lovelace@example.org"
        assert list(forms(rig.emulator)) == [
            ("core_user_get_users_by_field", {"field": "email", "values[0]": email, "values[1]": ADA.email}),
            ("core_user_get_users_by_field", {"field": "username", "values[0]": email}),
            (
                "core_user_create_users",
                {
                    "users[0][username]": email,
                    "users[0][firstname]": "Ada",
                    "users[0][lastname]": "Lovelace",
                    "users[0][email]": email,
                    "users[0][createpassword]": "1",
                },
            ),
            (
                "enrol_manual_enrol_users",
                {
                    "enrolments[0][roleid]": "5",
                    "enrolments[0][userid]": "42",
                    "enrolments[0][courseid]": "7",
                    "enrolments[0][timestart]": "0",
                    "enrolments[0][timeend]": str(STAMP),
                    "enrolments[0][suspend]": "0",
                },
            ),
        ]
        assert done.refs == Refs({"user": "42"}, {"enrollment": "42:7", "until": str(STAMP)})

    async def test_the_token_is_in_no_address(self, rig: Rig) -> None:
        """Addresses stand in access logs."""
        await rig.do(Operation.GRANT)
        assert {(seen.path, *seen.query) for seen in rig.emulator.journal} == {("/webservice/rest/server.php",)}

    async def test_an_account_that_is_there_is_left_as_it_is(self, rig: Rig) -> None:
        """A purchase changes neither name nor language, password, authentication or suspension of it."""
        user = rig.emulator.add_user(
            str(ADA.email), auth="oauth2", suspended=True, lang="fr", password="theirs", city="P"
        )
        before = repr(user)
        done = receipt(await rig.do(Operation.GRANT))
        assert repr(rig.emulator.state.users[user.id]) == before
        assert calls(rig.emulator) == ["look up", "enrol"]
        assert done.refs.person == {"user": str(user.id)}
        assert "suspended" in done.note

    async def test_an_update_writes_the_name_and_address_that_differ_and_nothing_else(self, rig: Rig) -> None:
        """Found by the id from before, so that the old address need not be known."""
        granted = receipt(await rig.do(Operation.GRANT))
        user = rig.emulator.state.users[42]
        user.lang, user.suspended, user.auth, user.idnumber, user.password = "de", True, "ldap", "X1", "secret"
        married = ADA.model_copy(update={"last_name": "King", "email": "ada.king@example.org"})
        rig.emulator.journal.clear()
        receipt(await rig.do(Operation.UPDATE, married, refs=granted.refs))
        assert list(forms(rig.emulator)) == [
            ("core_user_get_users_by_field", {"field": "id", "values[0]": "42"}),
            (
                "core_user_update_users",
                {"users[0][id]": "42", "users[0][email]": "ada.king@example.org", "users[0][lastname]": "King"},
            ),
        ]
        user = rig.emulator.state.users[42]
        assert (user.lang, user.suspended, user.auth, user.idnumber, user.password) == (
            "de",
            True,
            "ldap",
            "X1",
            "secret",
        )
        assert (user.username, user.firstname, user.lastname) == ("ada.lovelace@example.org", "Ada", "King")

    async def test_a_changed_name_does_not_wake_an_enrolment_that_staff_suspended(self, rig: Rig) -> None:
        """Only a changed end writes the enrolment."""
        granted = receipt(await rig.do(Operation.GRANT))
        rig.emulator.state.enrolments[42, 7].suspended = True
        married = ADA.model_copy(update={"last_name": "King"})
        receipt(await rig.do(Operation.UPDATE, married, refs=granted.refs))
        assert rig.emulator.state.enrolments[42, 7].suspended
        assert rig.live() == []

    @pytest.mark.parametrize(("before", "after"), [(None, END), (END, None), (END, END + timedelta(days=30))])
    async def test_an_update_sets_extends_and_removes_the_end(
        self, rig: Rig, before: datetime | None, after: datetime | None
    ) -> None:
        """The start stays none, so that no clock keeps anybody out."""
        granted = receipt(await rig.do(Operation.GRANT, terms=Terms(expires_at=before)))
        updated = receipt(await rig.do(Operation.UPDATE, refs=granted.refs, terms=Terms(expires_at=after)))
        held = rig.emulator.state.enrolments[42, 7]
        assert (held.timestart, held.timeend) == (0, int(after.timestamp()) if after else 0)
        assert updated.refs.right["until"] == str(held.timeend)
        assert held.roles == {5}

    async def test_an_update_after_a_lost_answer_writes_the_end_again(self, rig: Rig) -> None:
        """Without the end from before, nobody knows what stands there."""
        await rig.do(Operation.GRANT, terms=Terms(expires_at=END))
        receipt(await rig.do(Operation.UPDATE, refs=Refs({"user": "42"}), unknown=True))
        assert rig.emulator.state.enrolments[42, 7].timeend == 0

    async def test_an_update_of_somebody_who_is_gone_lets_them_in_again(self, rig: Rig) -> None:
        """Access is wanted; that the account was deleted changes nothing about it."""
        granted = receipt(await rig.do(Operation.GRANT))
        rig.emulator.state.users[42].deleted = True
        updated = receipt(await rig.do(Operation.UPDATE, refs=granted.refs))
        assert updated.refs.person == {"user": "43"}
        assert (43, 7) in rig.emulator.state.enrolments

    async def test_a_suspension_keeps_role_and_end(self, rig: Rig) -> None:
        """What a colleague reads of it afterwards is what was bought."""
        granted = receipt(await rig.do(Operation.GRANT, terms=Terms(expires_at=END)))
        receipt(await rig.do(Operation.REVOKE, refs=granted.refs))
        held = rig.emulator.state.enrolments[42, 7]
        assert (held.suspended, held.timeend, held.roles) == (True, STAMP, {5})
        assert rig.emulator.state.users[42].suspended is False

    async def test_nobody_is_made_to_be_revoked(self, rig: Rig) -> None:
        """Who is not there has nothing to lose."""
        done = receipt(await rig.do(Operation.REVOKE))
        assert "does not know the person" in done.note
        assert calls(rig.emulator) == ["look up", "look up"]
        assert rig.emulator.state.users == {}

    async def test_a_revocation_of_a_deleted_account_is_done(self, rig: Rig) -> None:
        """Whether the site still shows the account or not."""
        granted = receipt(await rig.do(Operation.GRANT))
        fault = {"exception": "moodle_exception", "errorcode": "userdeleted", "message": "deleted"}
        rig.emulator.now_fails("status", status=200, after=1, times=1, body=fault)
        assert receipt(await rig.do(Operation.REVOKE, refs=granted.refs)).note == "the account is gone"
        rig.emulator.state.users[42].deleted = True
        receipt(await rig.do(Operation.REVOKE, refs=granted.refs))

    async def test_somebody_without_an_address_is_refused_only_where_one_is_needed(self, rig: Rig) -> None:
        """An account from before needs none."""
        nameless = Learner(remote_user_id="4711", first_name="Ada", last_name="Lovelace")
        outcome = await rig.do(Operation.GRANT, nameless, person="id:members:4711")
        assert isinstance(outcome, Refused)
        assert "no e-mail" in outcome.why
        assert rig.emulator.journal == []
        user = rig.emulator.add_user("ada@example.org")
        receipt(await rig.do(Operation.GRANT, nameless, person="id:members:4711", refs=Refs({"user": str(user.id)})))
        assert rig.live() == [("ada@example.org", "7")]

    async def test_no_mail_means_a_password_that_nobody_keeps(self, rig: Rig) -> None:
        """Moodle's mail for a new account is the one with the password."""
        await rig.do(Operation.GRANT, terms=Terms(send_email=False))
        await rig.do(Operation.GRANT, BOB, terms=Terms(send_email=True))
        ada, bob = rig.emulator.state.users.values()
        assert (ada.mails, bob.mails) == (0, 1)
        assert len(ada.password) > 20

    async def test_a_password_is_in_no_record(self, rig: Rig) -> None:
        """Nor is the token, nor what the site says of its own keys."""
        _, story = await rig.told(Operation.GRANT, terms=Terms(send_email=False))
        token = exchanges.set(story)
        await rig.connector.check()
        exchanges.reset(token)
        assert [exchange.sent["wsfunction"] for exchange in story][-2:] == [
            "enrol_manual_enrol_users",
            "core_webservice_get_site_info",
        ]
        for secret in (rig.emulator.state.users[42].password, "a-private-key", *self.secrets(rig)):
            assert secret not in repr(story)

    async def test_an_account_under_the_same_user_name_is_the_persons(self, rig: Rig) -> None:
        """Many sites have people sign up with their address as the user name."""
        user = rig.emulator.add_user("ada@elsewhere.example", username="ada.lovelace@example.org")
        done = receipt(await rig.do(Operation.GRANT))
        assert done.refs.person == {"user": str(user.id)}
        assert user.email == "ada@elsewhere.example"

    async def test_an_address_that_a_database_takes_for_the_same_is_another_persons(self, rig: Rig) -> None:
        """Usual collations hold é for e; access must not rest on that."""
        rig.emulator.add_user("bób@example.org", username="other")
        done = receipt(await rig.do(Operation.GRANT, BOB))
        assert done.refs.person == {"user": "43"}

    async def test_capitals_are_no_other_person(self, rig: Rig) -> None:
        """Some databases tell them apart: what was typed in by hand is then found as it was given, or by the search."""
        rig.emulator.same_case = True
        given = rig.emulator.add_user("Ada.Lovelace@example.org", username="al")
        assert receipt(await rig.do(Operation.GRANT)).refs.person == {"user": str(given.id)}
        given.email = "ADA.LOVELACE@example.org"
        rig.emulator.journal.clear()
        assert receipt(await rig.do(Operation.GRANT)).refs.person == {"user": str(given.id)}
        assert calls(rig.emulator) == ["look up", "look up", "create", "search", "enrol"]

    async def test_names_and_addresses_are_made_fit_for_moodle(self, rig: Rig) -> None:
        """A sign that Moodle refuses must not keep a buyer out, nor make two addresses one user name."""
        receipt(await rig.do(Operation.GRANT, CYD))
        user = rig.emulator.state.users[42]
        assert (user.firstname, user.email) == ("Cyd 3", "cyd+school@example.org")
        assert user.username.startswith("cydschool@example.org-")
        assert len({user_name(f"{local}@example.org") for local in ("cyd+school", "cydschool", "cyd#school")}) == 3
        assert len(user_name("a" * 150 + "@example.org")) == 100

    async def test_two_accounts_that_could_be_the_persons_are_an_operators_choice(self, rig: Rig) -> None:
        """Unless one of them has the user name that we would give."""
        rig.emulator.add_user("bob@example.org", username="b1")
        rig.emulator.add_user("bob@example.org", username="b2")
        outcome = await rig.do(Operation.GRANT, BOB)
        assert isinstance(outcome, NeedsOperator)
        assert "42, 43" in outcome.why
        mine = rig.emulator.add_user("bob@example.org")
        assert receipt(await rig.do(Operation.GRANT, BOB)).refs.person == {"user": str(mine.id)}

    async def test_fields_that_may_not_be_seen_are_asked_for_one_by_one(self, rig: Rig) -> None:
        """A row without its address could be anybody's when two were asked for."""
        for person in (ADA, BOB):
            rig.emulator.add_user(str(person.email))
        rig.emulator.hides = {"email"}
        outcomes = await rig.deliver([rig.work(Operation.GRANT, person) for person in (ADA, BOB)])
        assert [receipt(outcome).refs.person for outcome in outcomes] == [{"user": "42"}, {"user": "43"}]

    async def test_a_mapped_role_is_given(self, rig: Rig) -> None:
        """And stays the only one."""
        rig.emulator.assignable = {5, 9}
        await rig.do(Operation.GRANT, table={"course_id": 8, "role_id": 9})
        assert rig.emulator.state.enrolments[42, 8].roles == {9}


async def test_unenrols_where_that_is_set(site: Moodle, session: aiohttp.ClientSession) -> None:
    """And a repeat is no fault."""
    rig = rig_for(site, session, revoke="unenrol")
    granted = receipt(await rig.do(Operation.GRANT))
    site.journal.clear()
    for _ in range(2):
        receipt(await rig.do(Operation.REVOKE, refs=granted.refs))
    assert list(forms(site))[1] == (
        "enrol_manual_unenrol_users",
        {"enrolments[0][userid]": "42", "enrolments[0][courseid]": "7"},
    )
    assert site.state.enrolments == {}
    assert isinstance(await rig.do(Operation.GRANT, refs=granted.refs), Receipt)
    assert rig.live() == [("ada.lovelace@example.org", "7")]


class TestIdNumber:
    """Where the school keeps our number for a person."""

    @pytest.fixture
    def rig(self, site: Moodle, session: aiohttp.ClientSession) -> Rig:
        return rig_for(site, session, idnumber="learner.remote_user_id")

    async def test_people_are_found_by_it_before_their_address(self, rig: Rig) -> None:
        """Whatever the address has become."""
        user = rig.emulator.add_user("maiden@example.org", idnumber="4711")
        assert receipt(await rig.do(Operation.GRANT)).refs.person == {"user": str(user.id)}
        assert calls(rig.emulator) == ["look up", "enrol"]
        assert user.email == "maiden@example.org"

    async def test_a_new_account_gets_it(self, rig: Rig) -> None:
        """So that the next purchase finds it at once."""
        await rig.do(Operation.GRANT)
        assert rig.emulator.state.users[42].idnumber == "4711"

    async def test_an_account_with_another_one_is_not_the_persons(self, rig: Rig) -> None:
        """Somebody has to say which of the two is right."""
        rig.emulator.add_user(str(ADA.email), idnumber="X-1")
        outcome = await rig.do(Operation.GRANT)
        assert isinstance(outcome, NeedsOperator)
        assert "somebody else" in outcome.why
        assert rig.live() == []

    async def test_an_account_of_somebody_else_is_not_remembered_as_the_persons(self, rig: Rig) -> None:
        """Once the source has corrected the address, the person gets an account; an id that was kept before is no hindrance."""
        other = rig.emulator.add_user(str(ADA.email), idnumber="X-1")
        outcome = await rig.do(Operation.GRANT)
        assert outcome.refs.person == {}
        corrected = ADA.model_copy(update={"email": "ada@king.example.org"})
        kept = Refs({"user": str(other.id)})
        assert receipt(await rig.do(Operation.GRANT, corrected, refs=kept)).refs.person == {"user": "43"}
        assert rig.live() == [("ada@king.example.org", "7")]

    async def test_a_revocation_leaves_an_account_of_somebody_else_alone(self, rig: Rig) -> None:
        """They hold the course by themselves; where the account was given it by us, it is taken away."""
        other = rig.emulator.add_user(str(ADA.email))
        granted = receipt(await rig.do(Operation.GRANT))
        rig.emulator.state.users[other.id].idnumber = "X-1"
        for refs in (Refs(), Refs({"user": str(other.id)})):
            assert "not enrolled" in receipt(await rig.do(Operation.REVOKE, refs=refs)).note
            assert len(rig.live()) == 1
        receipt(await rig.do(Operation.REVOKE, refs=granted.refs))
        assert rig.live() == []

    async def test_it_decides_between_two_accounts(self, rig: Rig) -> None:
        """An ID number is not unique in Moodle, an address not everywhere."""
        rig.emulator.add_user("bob@example.org", username="b1", idnumber="4712")
        rig.emulator.add_user("bob@example.org", username="b2", idnumber="4712")
        assert isinstance(await rig.do(Operation.GRANT, BOB), NeedsOperator)
        rig.emulator.state.users[43].idnumber = ""
        assert receipt(await rig.do(Operation.GRANT, BOB)).refs.person == {"user": "42"}

    async def test_an_account_without_one_stays_without_unless_it_may_be_adopted(
        self, rig: Rig, site: Moodle, session: aiohttp.ClientSession
    ) -> None:
        """It is the school's field."""
        user = site.add_user(str(ADA.email))
        receipt(await rig.do(Operation.GRANT))
        assert site.state.users[user.id].idnumber == ""
        adopting = rig_for(site, session, idnumber="learner.remote_user_id", adopt_existing=True)
        receipt(await adopting.do(Operation.GRANT))
        assert site.state.users[user.id].idnumber == "4711"

    async def test_a_number_that_may_not_be_written_keeps_nobody_out(
        self, site: Moodle, session: aiohttp.ClientSession
    ) -> None:
        """The account may be an administrator's, which web services leave alone."""
        rig = rig_for(site, session, idnumber="learner.remote_user_id", adopt_existing=True)
        site.add_user(str(ADA.email), username="admin")
        assert "usernotupdatedadmin" in receipt(await rig.do(Operation.GRANT)).note
        assert len(rig.live()) == 1


async def test_an_authentication_plugin_of_the_schools_needs_no_password(
    site: Moodle, session: aiohttp.ClientSession
) -> None:
    """And no mail goes out."""
    rig = rig_for(site, session, auth="oauth2")
    receipt(await rig.do(Operation.GRANT))
    user = site.state.users[42]
    assert (user.auth, user.password, user.mails) == ("oauth2", "", 0)
