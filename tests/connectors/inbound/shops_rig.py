"""What the tests of the shops share: captured deliveries, altered bytes, and a ledger behind an adapter."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
from hypothesis import settings
from hypothesis import strategies as st

from bridge.contract.catalogue import ProductEntry, SourceEntry
from bridge.contract.inbound import InboundAdapter, InboundEvent, Reception
from bridge.kit.clock import milliseconds
from bridge.kit.http import Http
from bridge.ledger.store import Ledger
from tests.ledger.blank import blank_at
from tests.ledger.rig import SHOP, World, mapping
from tests.suites.inbound import GARBAGE, PAYLOADS, RECEIVED, request

ALTERATIONS = settings(GARBAGE, max_examples=100)


def in_base64(secret: str, message: bytes) -> str:
    """The signature that all three shops use."""
    return base64.b64encode(hmac.new(secret.encode(), message, hashlib.sha256).digest()).decode()


def captured(file: Mapping[str, Any], drop: frozenset[str] = frozenset()) -> tuple[bytes, dict[str, str]]:
    """Body and headers of a capture that keeps both; the body as the sender wrote it, or nearly."""
    headers = {name: text for name, text in file["headers"].items() if name not in drop}
    return json.dumps(file["body"], indent=2).encode(), headers


def signed_examples(kind: str) -> list[tuple[InboundEvent, Mapping[str, str]]]:
    """The signed examples of a sender, each with its secret and what else belongs to it."""
    found = []
    for example in orjson.loads((PAYLOADS / kind / "vectors.json").read_bytes()):
        headers = {name.lower(): text for name, text in example["headers"].items()}
        found.append((request(base64.b64decode(example["body_b64"]), headers=headers), example))
    return found


@st.composite
def altered(draw: st.DrawFn, good: bytes) -> bytes:
    """The same bytes with one of them changed, left out or added."""
    place = draw(st.integers(0, len(good) - 1))
    how = draw(st.sampled_from(("changed", "left out", "added")))
    if how == "left out":
        return good[:place] + good[place + 1 :]
    byte = bytes([draw(st.integers(0, 255).filter(lambda value: how == "added" or value != good[place]))])
    return good[:place] + byte + good[place + (how == "changed") :]


@st.composite
def altered_text(draw: st.DrawFn, good: str) -> str:
    """The same text with one character changed into another one that can stand in a header."""
    place = draw(st.integers(0, len(good) - 1))
    other = draw(st.characters(min_codepoint=33, max_codepoint=126).filter(lambda text: text != good[place]))
    return good[:place] + other + good[place + 1 :]


class Shop:
    """A source with its adapter, before a ledger of its own."""

    def __init__(self, world: World, adapter: InboundAdapter, source: SourceEntry) -> None:
        self.world = world
        self._adapter = adapter
        self._source = source

    async def receive(self, *events: InboundEvent) -> list[Reception]:
        """Take these in, one after the other, as the edge does once they are verified."""
        return [await self.world.intake.receive(self._source, self._adapter, event) for event in events]

    async def asked(self, http: Http, *events: InboundEvent) -> None:
        """Take these in, and after each make its lookups, as the background job does."""
        adapter: Any = self._adapter
        for event in events:
            reception = await self.world.intake.receive(self._source, adapter, event)
            rows = await self.world.rows("SELECT id FROM lookup WHERE event_id = :id", id=reception.event_id)
            for row, lookup in zip(rows, adapter.lookups(event), strict=True):
                found = await adapter.look_up(event, lookup, http)
                assert isinstance(found, list), found
                assert reception.event_id is not None
                await self.world.intake.accept_found(self._source, reception.event_id, found, event, row.id)

    async def lines(self) -> dict[str, str]:
        """What is wanted of each order line, by the sender's reference of it."""
        rows = await self.world.rows("SELECT line, intent FROM registration ORDER BY id")
        assert len({row.line for row in rows}) == len(rows), "no line is there twice"
        return {row.line: row.intent for row in rows}

    async def waiting(self) -> list[str]:
        """What kinds of things are in quarantine."""
        rows = await self.world.rows("SELECT kind FROM quarantine WHERE state = 'waiting' ORDER BY id")
        return [row.kind for row in rows]


@asynccontextmanager
async def shop(folder: Path, adapter: InboundAdapter, *products: str, **source: Any) -> AsyncIterator[Shop]:
    """Open a ledger where these products lead to a course."""
    ledger = Ledger(blank_at(folder / "bridge.db"))
    await ledger.open()
    world = World(ledger)
    world.now = milliseconds(RECEIVED) + 86_400_000
    entries = {(SHOP.name, product): ProductEntry(("web",)) for product in products}
    entries |= {key: entry for key, entry in world.catalogue.products.items() if key[1] == "MUG"}
    world.catalogue = mapping(products=entries)
    try:
        yield Shop(world, adapter, replace(SHOP, **source))
    finally:
        await ledger.close()
