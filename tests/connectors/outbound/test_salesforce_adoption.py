"""Contacts that are at Salesforce without our external id: found by e-mail and taken over, never doubled."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from typing import Any

import pytest

from bridge.contract.command import Learner
from bridge.contract.errors import AnswerLost
from bridge.contract.outbound import NeedsOperator, Operation, Receipt, Refs, Refused, TryLater
from bridge.kit.http import exchanges
from tests.connectors.outbound.salesforce_rig import ADAS, calls, configured, crowd, paths
from tests.suites.outbound import ADA, BOB, OutboundSuite, Rig


class TestAdoption:
    """Once for each learner, before anything is made."""

    rig = OutboundSuite.rig
    type, target, course = "salesforce", {}, None

    async def test_the_one_contact_with_the_address_becomes_the_learners(self, rig: Rig) -> None:
        """It gets our external id along with the fields, and keeps everything else; case does not count."""
        known = rig.emulator.hold(LastName="L.", Email="ADA.lovelace@example.org", Title="Countess")
        outcome = await rig.do(Operation.CONTACT)
        assert outcome == Receipt(Refs(person={"contact": known}), "adopted the contact with this e-mail")
        assert calls(rig) == ["GET query", f"PATCH sobjects/Contact/{known}"]
        assert rig.emulator.journal[-1].json == {
            "Bridge_Id__c": ADAS,
            "FirstName": "Ada",
            "LastName": "Lovelace",
            "Email": "Ada.Lovelace@example.org",
        }
        assert rig.emulator.contacts[known]["Title"] == "Countess"
        assert len(rig.emulator.contacts) == 1

    @pytest.mark.parametrize("adopt", [True, False])
    async def test_two_targets_of_one_organisation_make_one_contact(self, rig: Rig, adopt: bool) -> None:
        """They look at one moment and both find nobody; the external id, which they share, decides."""
        configured(rig, adopt=adopt)
        one = rig.connector
        configured(rig)
        work = [rig.work(Operation.CONTACT, learner) for learner in (ADA, BOB)]
        told = await asyncio.gather(*(each.deliver(work) for each in (one, rig.connector, one, rig.connector)))
        assert all(isinstance(outcome, Receipt) for outcomes in told for outcome in outcomes)
        assert len(rig.emulator.contacts) == 2
        assert len({outcome.refs.person["contact"] for outcomes in told for outcome in outcomes}) == 2

    async def test_the_upsert_that_loses_the_race_of_two_targets_finds_the_contact(self, rig: Rig) -> None:
        """Salesforce lets one of two creations at one moment through, and names the field to the other."""
        body = [
            {
                "message": "duplicate value found: Bridge_Id__c duplicates value on record with id: 003",
                "errorCode": "DUPLICATE_VALUE",
            }
        ]
        assert isinstance(await rig.do(Operation.CONTACT), Receipt)
        rig.emulator.now_fails("status", status=400, body=body, times=1, path="/sobjects/Contact")
        lost = await rig.do(Operation.CONTACT)
        assert isinstance(lost, TryLater)
        assert isinstance(await rig.do(Operation.CONTACT, attempt=2, steps=lost.steps), Receipt)
        assert len(rig.emulator.contacts) == 1

    async def test_who_is_known_is_not_looked_for(self, rig: Rig) -> None:
        """One call suffices from then on."""
        first = await rig.do(Operation.CONTACT)
        rig.emulator.journal.clear()
        assert isinstance(await rig.do(Operation.CONTACT, refs=first.refs), Receipt)
        assert calls(rig) == [f"PATCH sobjects/Contact/Bridge_Id__c/{ADAS}"]

    async def test_a_learner_without_an_address_is_upserted_at_once(self, rig: Rig) -> None:
        """There is nothing to look for."""
        assert isinstance(
            await rig.do(Operation.CONTACT, Learner(remote_user_id="4711", last_name="Lovelace")), Receipt
        )
        assert calls(rig) == [f"PATCH sobjects/Contact/Bridge_Id__c/{ADAS}"]

    @pytest.mark.parametrize("rows", [["0035g00000AbCdEAAV"], [None], "none", {}])
    async def test_an_answer_that_lists_no_contacts_is_an_outage(self, rig: Rig, rows: Any) -> None:
        """Nothing is written by it, and it is no defect of the connector."""
        body = {"totalSize": 1, "done": True, "records": rows}
        rig.emulator.now_fails("status", status=200, body=body, path="/query")
        outcome = await rig.do(Operation.CONTACT)
        assert isinstance(outcome, TryLater)
        assert (outcome.cause, rig.emulator.contacts) == ("outage", {})

    async def test_of_several_contacts_a_person_chooses_and_only_for_that_learner(self, rig: Rig) -> None:
        """Their ids are named; the others of the batch go on."""
        works = crowd(rig, 3)
        twins = [rig.emulator.hold(LastName=name, Email="p1@example.org") for name in ("One", "Two")]
        outcomes = await rig.deliver(works)
        assert [type(outcome) for outcome in outcomes] == [Receipt, NeedsOperator, Receipt]
        assert outcomes[1].scope == "delivery"
        assert all(twin in outcomes[1].why for twin in twins)
        assert all("Bridge_Id__c" not in rig.emulator.contacts[twin] for twin in twins)

    async def test_once_one_of_the_several_has_our_id_the_learner_goes_on(self, rig: Rig) -> None:
        """That is what the remedy says."""
        rig.emulator.hold(LastName="One", Email=ADA.email)
        chosen = rig.emulator.hold(LastName="Two", Email=ADA.email, Bridge_Id__c=ADAS)
        outcome = await rig.do(Operation.CONTACT)
        assert outcome == Receipt(Refs(person={"contact": chosen}), "updated")

    async def test_another_learners_contact_is_left_alone(self, rig: Rig) -> None:
        """Two learners may share an address: the second one gets a contact of their own."""
        await rig.do(Operation.CONTACT)
        twin = BOB.model_copy(update={"email": ADA.email})
        assert isinstance(await rig.do(Operation.CONTACT, twin), Receipt)
        assert sorted(held["LastName"] for held in rig.emulator.contacts.values()) == ["Babbage", "Lovelace"]

    @pytest.mark.parametrize("together", [True, False])
    async def test_two_learners_of_one_address_never_take_the_same_contact(self, rig: Rig, together: bool) -> None:
        """In one batch or in two at once: the first adopts it, the second gets a new one."""
        known = rig.emulator.hold(LastName="Office", Email=ADA.email)
        works = [rig.work(Operation.CONTACT, one.model_copy(update={"email": ADA.email})) for one in (ADA, BOB)]
        if together:
            outcomes = list(await rig.deliver(works))
        else:
            await rig.connector.check()
            outcomes = [one for (one,) in await asyncio.gather(*(rig.deliver([work]) for work in works))]
        assert all(isinstance(outcome, Receipt) for outcome in outcomes)
        assert len(rig.emulator.contacts) == 2
        assert rig.emulator.contacts[known]["Bridge_Id__c"] in {work.person for work in works}

    @pytest.mark.parametrize("duplicates", ["fail", "link"])
    async def test_two_learners_of_one_address_take_no_contact_from_each_other_at_two_targets(
        self, rig: Rig, duplicates: str
    ) -> None:
        """Of one organisation: both look at one moment, each for another learner; whoever adopts a contact keeps it."""
        configured(rig, duplicates=duplicates)
        one = rig.connector
        configured(rig, duplicates=duplicates, base_url=f"{one._settings.base_url}/")
        await asyncio.gather(one.check(), rig.connector.check())
        known = rig.emulator.hold(LastName="Office", Email=ADA.email)
        works = [rig.work(Operation.CONTACT, who.model_copy(update={"email": ADA.email})) for who in (ADA, BOB)]
        told = await asyncio.gather(one.deliver(works[:1]), rig.connector.deliver(works[1:]))
        ids = {outcome.refs.person["contact"] for (outcome,) in told}
        assert len(ids) == 2
        assert known in ids
        held = {rig.emulator.contacts[told[n][0].refs.person["contact"]]["Bridge_Id__c"]: n for n in (0, 1)}
        assert held == {works[0].person: 0, works[1].person: 1}

    async def test_a_batch_is_looked_up_and_adopted_together(self, rig: Rig) -> None:
        """Two hundred addresses are one query, those who are there one update, the others one upsert."""
        known = [rig.emulator.hold(LastName="Typed", Email=f"p{n}@example.org") for n in range(0, 200, 2)]
        outcomes = await rig.deliver(crowd(rig, 200))
        assert all(isinstance(outcome, Receipt) for outcome in outcomes)
        assert calls(rig) == ["GET query", "PATCH composite/sobjects", "PATCH composite/sobjects/Contact/Bridge_Id__c"]
        assert [outcome.refs.person["contact"] for outcome in outcomes][::2] == known
        assert len(rig.emulator.contacts) == 200
        about = rig.emulator.journal[-2].json["records"][0]
        assert about == {
            "attributes": {"type": "Contact"},
            "id": known[0],
            "Bridge_Id__c": "id:members:0",
            "LastName": "N0",
            "Email": "p0@example.org",
        }

    async def test_long_addresses_are_asked_for_by_several_queries(self, rig: Rig) -> None:
        """An address of the API has its longest length."""
        people = [Learner(remote_user_id=str(n), email=f"{'long' * 14}{n}@example.org") for n in range(200)]
        outcomes = await rig.deliver([rig.work(Operation.CONTACT, one) for one in people])
        assert all(isinstance(outcome, Receipt) for outcome in outcomes)
        assert calls(rig).count("GET query") == 3

    async def test_an_answer_in_pages_is_read_to_its_end(self, rig: Rig) -> None:
        """The second contact of a learner may stand on the second page."""
        rig.emulator.page_size = 1
        for name in ("One", "Two"):
            rig.emulator.hold(LastName=name, Email=ADA.email)
        assert isinstance(await rig.do(Operation.CONTACT), NeedsOperator)
        assert len(calls(rig)) == 2

    async def test_an_address_with_signs_of_the_query_language_is_only_an_address(self, rig: Rig) -> None:
        """A quotation mark ends no literal."""
        odd = ADA.model_copy(update={"email": "o'hara+b&c%41@example.org"})
        known = rig.emulator.hold(LastName="O'Hara", Email="o'hara+b&c%41@example.org")
        rig.emulator.hold(LastName="Other", Email="other@example.org")
        outcome = await rig.do(Operation.CONTACT, odd)
        assert outcome.refs.person == {"contact": known}

    async def test_a_learner_whose_contact_has_another_address_keeps_it(self, rig: Rig) -> None:
        """Somebody else's by the new address is not taken: our external id stands on the learner's own already."""
        own = rig.emulator.hold(LastName="Lovelace", Email="old@example.org", Bridge_Id__c=ADAS)
        other = rig.emulator.hold(LastName="Office", Email=ADA.email)
        for works in ([rig.work(Operation.CONTACT)], [rig.work(Operation.CONTACT), *crowd(rig, 2)]):
            outcomes = await rig.deliver(works)
            assert outcomes[0] == Receipt(Refs(person={"contact": own}), "updated")
        assert rig.emulator.contacts[other] == {"LastName": "Office", "Email": ADA.email}

    async def test_a_contact_that_is_gone_meanwhile_is_looked_for_again(self, rig: Rig) -> None:
        """A colleague merged it between our two calls."""
        rig.emulator.hold(LastName="L.", Email=ADA.email)
        body = [{"errorCode": "ENTITY_IS_DELETED", "message": "entity is deleted"}]
        rig.emulator.now_fails("status", status=404, body=body, method="PATCH", times=1)
        outcome = await rig.do(Operation.CONTACT)
        assert isinstance(outcome, TryLater)
        assert outcome.cause == "busy"
        assert isinstance(await rig.do(Operation.CONTACT), Receipt)
        assert len(rig.emulator.contacts) == 1

    async def test_what_is_wrong_with_the_learner_is_said_of_an_adopted_one_too(self, rig: Rig) -> None:
        """And nothing was written."""
        known = rig.emulator.hold(LastName="L.", Email=ADA.email)
        outcome = await rig.do(Operation.CONTACT, ADA.model_copy(update={"first_name": "Ada" * 20}))
        assert isinstance(outcome, Refused)
        assert outcome.why.endswith("Adopt the contact: HTTP 400, STRING_TOO_LONG on FirstName")
        assert "Bridge_Id__c" not in rig.emulator.contacts[known]

    async def test_an_answer_lost_at_any_step_is_made_good(self, rig: Rig) -> None:
        """Looked up, adopted, or upserted: in the end there is one contact, and it is ours."""
        await rig.connector.check()
        known = rig.emulator.hold(LastName="L.", Email=ADA.email)
        for nth in range(2):
            rig.emulator.contacts[known].pop("Bridge_Id__c", None)
            rig.emulator.now_fails("lost", after=nth, times=1)
            with pytest.raises(AnswerLost):
                await rig.do(Operation.CONTACT)
            assert isinstance(await rig.do(Operation.CONTACT, unknown=True), Receipt)
            assert [*rig.emulator.contacts] == [known]
            assert rig.emulator.contacts[known]["Bridge_Id__c"] == ADAS

    @pytest.mark.parametrize(
        ("status", "code", "kind", "scope"),
        [
            (400, "INVALID_FIELD", NeedsOperator, "lane"),
            (400, "MALFORMED_QUERY", NeedsOperator, "lane"),
            (400, "QUERY_TIMEOUT", TryLater, "delivery"),
            (403, "REQUEST_LIMIT_EXCEEDED", TryLater, "lane"),
            (503, "SERVER_UNAVAILABLE", TryLater, "delivery"),
        ],
    )
    async def test_nothing_is_made_where_nobody_could_look(
        self, rig: Rig, status: int, code: str, kind: type, scope: str | None
    ) -> None:
        """A doubled contact is worse than a late one; nobody's address is quoted."""
        message = f"\nSELECT Id FROM Contact WHERE Email IN ('{ADA.email}')\n ^"
        rig.emulator.now_fails("status", status=status, body=[{"errorCode": code, "message": message}], path="/query")
        (outcome,) = await rig.deliver([rig.work(Operation.CONTACT)])
        assert isinstance(outcome, kind), outcome
        assert getattr(outcome, "scope", None) == scope
        assert str(ADA.email) not in outcome.why
        assert paths(rig) == []

    async def test_adoption_can_be_switched_off(self, rig: Rig) -> None:
        """An org that encrypts addresses can't be asked for them."""
        configured(rig, adopt=False)
        rig.emulator.hold(LastName="L.", Email=ADA.email)
        assert isinstance(await rig.do(Operation.CONTACT), Receipt)
        assert (len(rig.emulator.contacts), "GET query" in calls(rig)) == (2, False)

    async def test_a_contact_that_a_colleague_deleted_is_made_again_and_said(self, rig: Rig) -> None:
        """The learner has one; the note names the one that is gone."""
        first: Any = await rig.do(Operation.CONTACT)
        gone = first.refs.person["contact"]
        del rig.emulator.contacts[gone]
        outcome = await rig.do(Operation.CONTACT, refs=first.refs)
        assert isinstance(outcome, Receipt)
        assert outcome.note == f"created; contact {gone} was no longer there"

    async def test_no_address_of_a_batch_reaches_the_record(self, rig: Rig) -> None:
        """The query names them all, and its exchange is kept."""
        token = exchanges.set(story := [])
        await rig.deliver([rig.work(Operation.CONTACT, one) for one in (ADA, BOB)])
        exchanges.reset(token)
        kept = json.dumps([asdict(one) for one in story], default=str).lower()
        assert "/query?" in kept
        assert "lovelace" not in kept
        assert "bob" not in kept
