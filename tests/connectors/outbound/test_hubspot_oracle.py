"""HubSpot's own client, pointed at our emulator, makes the requests that our connector makes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from hubspot import HubSpot
from hubspot.crm import contacts, deals, properties
from hubspot.crm.associations import v4

from bridge.contract.outbound import Operation
from connectors.sandbox.hubspot import TOKEN
from tests.connectors.outbound.hubspot_rig import (
    KEY,
    OnTheRig,
    brought,
    configured,
    enrolled,
    sandbox,
    with_deals,
    without_key,
)
from tests.suites.outbound import ADA, Rig

Seen = tuple[str, str, dict[str, str], Any]


@pytest.fixture
def client(rig: Rig) -> Any:
    return HubSpot(access_token=TOKEN, host=rig.emulator.base_url).crm


def journal(rig: Rig) -> list[Seen]:
    """What was asked: method, path, query and body."""
    return [(one.method, one.path, dict(one.query), one.json if one.body else None) for one in rig.emulator.journal]


async def theirs(rig: Rig, call: Callable[..., Any], *args: Any, **more: Any) -> Seen:
    """The request that HubSpot's client makes."""
    rig.emulator.journal.clear()
    await asyncio.to_thread(call, *args, **more)
    (seen,) = journal(rig)
    return seen


class TestTheSameRequests(OnTheRig):
    """Method, path, query and body; the client and the connector may not differ in any of them."""

    async def test_the_upsert_of_contacts(self, rig: Rig, client: Any) -> None:
        """By e-mail, with our trace id."""
        await rig.do(Operation.CONTACT, key="contact-1")
        (ours,) = journal(rig)
        one = contacts.SimplePublicObjectBatchInputUpsert(
            id="ada.lovelace@example.org",
            id_property="email",
            object_write_trace_id="contact-1",
            properties={"email": "ada.lovelace@example.org", "firstname": "Ada", "lastname": "Lovelace"},
        )
        batch = contacts.BatchInputSimplePublicObjectBatchInputUpsert(inputs=[one])
        assert await theirs(rig, client.contacts.batch_api.upsert, batch) == ours

    async def test_the_change_of_an_address(self, rig: Rig, client: Any) -> None:
        """By the contact's id."""
        refs = (await rig.do(Operation.CONTACT)).refs
        rig.emulator.journal.clear()
        await rig.do(Operation.CONTACT, ADA.model_copy(update={"email": "ada@king.example"}), refs=refs)
        (ours,) = journal(rig)
        told = {"email": "ada@king.example", "firstname": "Ada", "lastname": "Lovelace"}
        change = contacts.SimplePublicObjectInput(properties=told)
        assert await theirs(rig, client.contacts.basic_api.update, refs.person["contact"], change) == ours

    async def test_the_upsert_of_deals_and_what_joins_them(self, rig: Rig, client: Any) -> None:
        """By our own unique property."""
        await brought(with_deals(rig, deal={"dealname": "{course.key}"}), enrolled(rig, 7), enrolled(rig, 8))
        _, write, join = journal(rig)
        keys = ["bridge-registration-7", "bridge-registration-8"]
        inputs = [
            deals.SimplePublicObjectBatchInputUpsert(
                id=key, id_property=KEY, object_write_trace_id=key, properties={"dealname": "intro-ce", KEY: key}
            )
            for key in keys
        ]
        batch = deals.BatchInputSimplePublicObjectBatchInputUpsert(inputs=inputs)
        assert await theirs(rig, client.deals.batch_api.upsert, batch) == write
        pairs = [
            v4.PublicDefaultAssociationMultiPost(
                _from=v4.PublicObjectId(id=sandbox(rig).deal(n).id),
                to=v4.PublicObjectId(id="512"),
            )
            for n in (7, 8)
        ]
        batch = v4.BatchInputPublicDefaultAssociationMultiPost(inputs=pairs)
        assert await theirs(rig, client.associations.v4.batch_api.create_default, "deals", "contacts", batch) == join

    async def test_the_joining_of_one_pair(self, rig: Rig, client: Any) -> None:
        """When many at once were refused."""
        rig.emulator.now_fails("status", times=1, status=400, body={"message": "no"}, path="batch/associate")
        await brought(with_deals(rig), enrolled(rig))
        *_, ours = journal(rig)
        call = client.associations.v4.basic_api.create_default
        assert await theirs(rig, call, "deals", "9001", "contacts", "512") == ours
        found = await asyncio.to_thread(client.associations.v4.basic_api.get_page, "deals", "9001", "contacts")
        assert [one.to_object_id for one in found.results] == ["512"]

    async def test_what_the_doctor_reads_and_makes(self, rig: Rig, client: Any) -> None:
        """Properties, their group and pipelines."""
        configured(without_key(rig), deal={"dealname": "x", "pipeline": "education"})
        await rig.connector.examine([], fix=True)
        ours = journal(rig)
        for call, *args in (
            (client.properties.core_api.get_all, "contacts"),
            (client.properties.core_api.get_all, "deals"),
            (client.pipelines.pipelines_api.get_all, "deals"),
            (client.properties.core_api.get_by_name, "deals", KEY),
        ):
            assert await theirs(rig, call, *args) in ours
        del sandbox(rig).schema.defined["deals"][KEY], sandbox(rig).schema.groups["deals"]["registration_bridge"]
        group = properties.PropertyGroupCreate(name="registration_bridge", label="Registration bridge")
        assert await theirs(rig, client.properties.groups_api.create, "deals", group) in ours
        key = properties.PropertyCreate(
            name=KEY,
            label="Bridge registration key",
            type="string",
            field_type="text",
            group_name="registration_bridge",
            has_unique_value=True,
            description="Tells the deals of the registration bridge apart.",
        )
        assert await theirs(rig, client.properties.core_api.create, "deals", key) in ours

    async def test_the_client_reads_what_the_connector_wrote(self, rig: Rig, client: Any) -> None:
        """One truth, seen from both sides: by id, by our key, and by search."""
        await brought(with_deals(rig), enrolled(rig))
        by_key = await asyncio.to_thread(
            client.deals.basic_api.get_by_id, "bridge-registration-7", id_property=KEY, properties=["amount"]
        )
        assert (by_key.id, by_key.properties["amount"]) == ("9001", "49.90")
        where = [{"filters": [{"propertyName": KEY, "operator": "EQ", "value": "bridge-registration-7"}]}]
        wanted = {"filterGroups": where, "properties": ["dealname"], "limit": 1, "after": "0", "sorts": []}
        found = await asyncio.to_thread(client.deals.search_api.do_search, wanted)
        assert [one.id for one in found.results] == ["9001"]
