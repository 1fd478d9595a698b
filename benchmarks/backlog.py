"""How much of a vendor's limit a backlog uses: contacts to HubSpot in batches, under 100 requests in 10 s that it enforces."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import aiohttp

from benchmarks.cores import allowed, keep_to
from benchmarks.load import request
from benchmarks.setting import adapter, catalogue, source
from bridge.contract.catalogue import Catalogue
from bridge.contract.inbound import InboundEvent
from bridge.contract.settings import Rate
from bridge.dispatch.attempt import PatientLimiter
from bridge.dispatch.lane import Lane, LanePolicy
from bridge.dispatch.loop import Dispatcher
from bridge.edge import logs
from bridge.edge.collector import tune_collector
from bridge.intake.intake import Intake
from bridge.kit.clock import SystemClock
from bridge.kit.http import Http, Windows
from bridge.ledger.store import Ledger
from bridge.registry import connector_class, emulator_class

LIMIT = Rate(100, 10.0)


def measure(contacts: int, advance: Callable[[str], None]) -> dict[str, float]:
    """Drain a backlog; return what was used of limit times batch size in every whole window, and how many answers were 429."""
    cores = allowed()
    logs.configure("error")
    tune_collector()
    vendor = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.vendor", str(LIMIT.requests)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert vendor.stdout is not None
        url = f"http://127.0.0.1:{vendor.stdout.readline().strip()}"
        keep_to(0, cores)
        took = asyncio.run(_drain(url, contacts, advance))
        said, _ = vendor.communicate("end\n", timeout=60)
        told = json.loads(said)
    finally:
        vendor.kill()
        vendor.wait()
        if cores:
            os.sched_setaffinity(0, cores)
    return {
        "contacts": told["held"],
        "seconds": took,
        "requests": sum(told["answered"].values()),
        "refused": told["answered"].get("429", 0),
        "share": _share(told["taken"]),
    }


def _share(taken: Sequence[tuple[float, int]]) -> float:
    """Return the share of what the vendor allows in whole windows that it was sent in them; 0 where there was none."""
    begun = taken[0][0]
    windows = int((taken[-1][0] - begun) // LIMIT.seconds)
    sent = sum(contacts for at, contacts in taken if at - begun < windows * LIMIT.seconds)
    most = windows * LIMIT.requests * connector_class("hubspot").batch_size
    return sent / most if most else 0.0


def _mapping() -> Catalogue:
    usual = catalogue()
    course = replace(usual.courses["intro-ce"], tables={})  # no LMS: the contacts are due at once
    return replace(usual, targets={"crm": usual.targets["crm"]}, courses={"intro-ce": course})


async def _drain(url: str, contacts: int, advance: Callable[[str], None]) -> float:
    mapping, clock = _mapping(), SystemClock()
    kind = connector_class("hubspot")
    credentials = emulator_class("hubspot").credentials
    settings = kind.Settings.model_validate({"connector": "hubspot", "base_url": url, **credentials})
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger(f"sqlite:///{folder}/bench.db")
        await ledger.open()
        advance(f"backlog: {contacts} purchases")
        await _fill(ledger, mapping, contacts)
        async with aiohttp.ClientSession() as session:
            limiter = PatientLimiter(Windows([LIMIT], clock, fixed=True))
            connector = kind(settings, Http(url, limiter, 10.0, session), clock)
            done, count = asyncio.Event(), itertools.count(1)

            def observe(_target: str, _operation: str, outcome: str, _seconds: float) -> None:
                if outcome == "receipt" and next(count) == contacts:
                    done.set()

            lane = Lane(
                mapping.targets["crm"], connector, ledger, lambda: mapping, LanePolicy(), clock, "bench", observe
            )
            dispatcher = Dispatcher(ledger, {"crm": lane}, clock, 30.0)
            advance(f"backlog: {contacts} contacts under {LIMIT.requests} requests in {LIMIT.seconds:g} s")
            started = time.perf_counter()
            await dispatcher.start()
            await done.wait()
            took = time.perf_counter() - started
            await dispatcher.drain()
        await ledger.close()
        return took


async def _fill(ledger: Ledger, mapping: Catalogue, contacts: int) -> None:
    intake, kind = Intake(ledger, lambda: mapping), adapter()
    bodies = (request(f"b{number}").partition(b"\r\n\r\n")[2] for number in range(contacts))

    async def send() -> None:
        for body in bodies:
            await intake.receive(source(), kind, InboundEvent("POST", "/api", {}, {}, body, datetime.now(UTC)))

    await asyncio.gather(*(send() for _ in range(256)))
