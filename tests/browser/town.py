"""A ledger with something of everything, so that each page of the console has something to show."""

from __future__ import annotations

from typing import Any

from tests.acceptance.cli_rig import ADA, BOB, EVE, look
from tests.acceptance.rig import live, until

TARGETS = ("elevate", "hubspot")

PAGES = {
    "overview": "/console/",
    "troubles": "/console/troubles",
    "targets": "/console/targets",
    "target": "/console/targets/elevate",
    "crm": "/console/targets/hubspot",
    "sources": "/console/sources",
    "source": "/console/sources/ams",
    "mapping": "/console/mapping",
    "rehearse": "/console/rehearse",
    "audit": "/console/audit",
    "find": "/console/find",
    "purchase": "/console/purchases/1",
    "refused": "/console/purchases/2",
    "delivery": "/console/deliveries/1",
    "dead": "/console/deliveries/{dead}",
    "event": "/console/events/1",
    "missing": "/console/purchases/999",
}
"""Every page that has an address of its own."""


async def settle(folder: Any, targets: Any, client: Any) -> int:
    """Let Ada in, have the LMS refuse Bob, have Eve buy what nobody mapped; return the dead delivery's id."""
    await client.register(**ADA)
    await until(lambda: live(targets["hubspot"]))
    targets["elevate"].products = {"NOTHING"}
    await client.register(**BOB)
    dead = "SELECT id FROM delivery WHERE state = 'dead'"
    await until(lambda: look(folder / "bridge.db", dead))
    targets["elevate"].products = {"INTRO"}
    await client.register(**EVE, product="NEW-1")
    return int(look(folder / "bridge.db", dead)[0][0])
