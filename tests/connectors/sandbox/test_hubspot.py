"""The HubSpot emulator: HubSpot's own client takes it for HubSpot."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest
from hubspot import HubSpot
from hubspot.crm.contacts import ApiException

from bridge.contract.outbound import Operation, Receipt, TryLater
from connectors.sandbox.hubspot import TOKEN
from tests.suites.outbound import OutboundSuite, Rig

CONTACTS = "/crm/v3/objects/contacts"


class OnTheRig:
    """The suite's rig, without running the suite once more."""

    type, target, course = "hubspot", {}, None
    rig = OutboundSuite.rig


class TestTheOfficialClient(OnTheRig):
    """What HubSpot's own client sends and accepts is what our emulator accepts and sends."""

    @pytest.fixture
    def client(self, rig: Rig) -> Any:
        return HubSpot(access_token=TOKEN, host=rig.emulator.base_url).crm.contacts

    async def upsert(self, client: Any, *emails: str) -> Any:
        inputs = [
            {
                "id": one,
                "idProperty": "email",
                "objectWriteTraceId": one[:3],
                "properties": {"email": one, "firstname": "X"},
            }
            for one in emails
        ]
        return await asyncio.to_thread(client.batch_api.upsert, {"inputs": inputs})

    async def test_upserts_and_reads_back(self, rig: Rig, client: Any) -> None:
        """The answers fit the models that HubSpot generates from its own specification."""
        done = await self.upsert(client, "Ada@example.org", "bob@example.org")
        assert {one.object_write_trace_id: one.new for one in done.results} == {"Ada": True, "bob": True}
        read = await asyncio.to_thread(client.basic_api.get_by_id, "ada@example.org", id_property="email")
        assert read.properties["firstname"] == "X"
        again = await self.upsert(client, "ada@example.org")
        assert [(one.id, one.new) for one in again.results] == [(read.id, False)]

    async def test_reads_what_the_connector_wrote(self, rig: Rig, client: Any) -> None:
        """One truth, seen from both sides."""
        receipt = await rig.do(Operation.CONTACT)
        assert isinstance(receipt, Receipt)
        asked = ["email", "lastname"]
        read = await asyncio.to_thread(client.basic_api.get_by_id, receipt.refs.person["contact"], properties=asked)
        assert (read.properties["email"], read.properties["lastname"]) == ("ada.lovelace@example.org", "Lovelace")
        page = await asyncio.to_thread(client.basic_api.get_page, limit=1)
        assert [one.id for one in page.results] == [read.id]

    async def test_sees_a_207(self, rig: Rig, client: Any) -> None:
        """Errors name the input by its trace id."""
        rig.emulator.invalid = {"bob@example.org"}
        done = await self.upsert(client, "ada@example.org", "bob@example.org")
        assert done.num_errors == 1
        assert done.errors[0].context == {"objectWriteTraceId": ["bob"]}
        assert [one.properties["email"] for one in done.results] == ["ada@example.org"]

    async def test_is_refused_as_by_hubspot(self, rig: Rig, client: Any) -> None:
        """A second create is a conflict that names the id; an update by e-mail in a batch is not taken."""
        wanted = {"properties": {"email": "ada@example.org"}}
        made = await asyncio.to_thread(client.basic_api.create, wanted)
        with pytest.raises(ApiException) as conflict:
            await asyncio.to_thread(client.basic_api.create, wanted)
        assert conflict.value.status == 409
        assert f"Existing ID: {made.id}" in conflict.value.body
        inputs = [{"id": "ada@example.org", "idProperty": "email", "properties": {"firstname": "Ada"}}]
        with pytest.raises(ApiException) as refused:
            await asyncio.to_thread(client.batch_api.update, {"inputs": inputs})
        assert refused.value.status == 400

    async def test_updates_by_address(self, rig: Rig, client: Any) -> None:
        """PATCH with idProperty e-mail; an empty string clears."""
        await self.upsert(client, "ada+course@example.org")
        changed = {"properties": {"firstname": "", "lastname": "King"}}
        await asyncio.to_thread(client.basic_api.update, "ada+course@example.org", changed, id_property="email")
        assert rig.emulator.by_email("ada+course@example.org").properties == {"lastname": "King"}

    async def test_a_search_lags_a_write(self, rig: Rig, client: Any) -> None:
        """Which is why the connector never searches before it writes."""
        where = [{"filters": [{"propertyName": "email", "operator": "EQ", "value": "ada@example.org"}]}]
        wanted = {"filterGroups": where, "properties": ["email"], "limit": 1, "after": "0", "sorts": []}
        rig.emulator.search_lag = 60.0
        await self.upsert(client, "ada@example.org")
        assert (await asyncio.to_thread(client.search_api.do_search, wanted)).total == 0
        rig.emulator.search_lag = 0.0
        await self.upsert(client, "ada@example.org")
        assert (await asyncio.to_thread(client.search_api.do_search, wanted)).total == 1

    async def test_more_than_a_hundred_are_not_taken(self, rig: Rig, client: Any) -> None:
        """Which is why the connector's `batch_size` is 100."""
        with pytest.raises(ApiException) as refused:
            await self.upsert(client, *(f"learner{n}@example.org" for n in range(101)))
        assert refused.value.status == 400
        assert rig.emulator.contacts == {}

    async def test_tells_how_much_of_the_limit_is_left(self, rig: Rig) -> None:
        """On everything but a search."""
        async with aiohttp.ClientSession(
            rig.emulator.base_url, headers={"Authorization": f"Bearer {TOKEN}"}
        ) as session:
            rig.emulator.limit = 190
            async with session.get(f"{CONTACTS}?limit=1") as listed:
                assert listed.headers["X-HubSpot-RateLimit-Remaining"] == "189"
            async with session.post(f"{CONTACTS}/search", json={}) as searched:
                assert not [name for name in searched.headers if name.startswith("X-HubSpot-RateLimit")]

    async def test_shows_what_it_holds(self, rig: Rig) -> None:
        """A contact with its properties as text."""
        await rig.do(Operation.CONTACT)
        (held,) = rig.emulator.holdings()
        assert (held.kind, held.person, held.remote_id) == ("contact", "ada.lovelace@example.org", "512")
        assert held.what == "firstname=Ada, lastname=Lovelace"

    async def test_the_emulators_own_limit_is_understood(self, rig: Rig) -> None:
        """It answers 429 as HubSpot does when too much comes in ten seconds."""
        rig.emulator.limit = 0
        outcome = await rig.do(Operation.CONTACT)
        assert isinstance(outcome, TryLater)
        assert outcome.after == 10.0
