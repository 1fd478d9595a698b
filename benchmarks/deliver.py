"""Deliveries per second through a lane, against a bare loop of the same client calls."""

from __future__ import annotations

import asyncio
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import aiohttp

from benchmarks.cores import allowed, keep_to
from benchmarks.load import request
from benchmarks.setting import adapter, catalogue, source
from bridge.contract.command import Learner
from bridge.contract.inbound import InboundEvent
from bridge.contract.outbound import Operation, Work
from bridge.dispatch.lane import Lane, LanePolicy
from bridge.dispatch.loop import Dispatcher
from bridge.edge import logs
from bridge.edge.collector import tune_collector
from bridge.intake.intake import Intake
from bridge.kit.clock import SystemClock
from bridge.kit.http import Http, Windows
from bridge.ledger.store import Ledger
from bridge.registry import connector_class, emulator_class

CONCURRENCY = 32
KEY = emulator_class("elevate").credentials["api_key"]


def measure(rounds: int, deliveries: int, advance: Callable[[str], None]) -> dict[str, float]:
    """Measure both ways in turn, to the LMS's emulator and to a target that answers at once; return medians per second."""
    cores = allowed()
    logs.configure("error")
    tune_collector()  # as the daemon does
    found: dict[str, list[float]] = {}
    try:
        keep_to(0, cores)
        for turn in range(rounds):
            for target, module in _TARGETS.items():
                with _running(module) as url:
                    advance(f"deliver to {target}: bare client, round {turn + 1}")
                    found.setdefault(f"{target}/bare", []).append(asyncio.run(_bare(url, deliveries)))
                    advance(f"deliver to {target}: lane, round {turn + 1}")
                    found.setdefault(f"{target}/lane", []).append(asyncio.run(_lane(url, deliveries)))
    finally:
        if cores:
            os.sched_setaffinity(0, cores)
    return {way: statistics.median(rates) for way, rates in found.items()}


_TARGETS = {"emulator": ("benchmarks.emulated", "elevate", "1"), "stub": ("benchmarks.stub",)}


@contextmanager
def _running(module: tuple[str, ...]) -> Iterator[str]:
    target = subprocess.Popen([sys.executable, "-m", *module], stdout=subprocess.PIPE, text=True)
    try:
        assert target.stdout is not None
        yield f"http://127.0.0.1:{target.stdout.readline().strip()}"
    finally:
        target.kill()
        target.wait()


def _connector(url: str, session: aiohttp.ClientSession):
    kind = connector_class("elevate")
    settings = kind.Settings.model_validate({"connector": "elevate", "base_url": url, "api_key": KEY})
    return kind(settings, Http(url, Windows((), SystemClock()), 10.0, session), SystemClock())


async def _bare(url: str, deliveries: int) -> float:
    """The connector's calls alone: no ledger, no lane."""
    model = connector_class("elevate").Course
    assert model is not None
    learner = Learner(remote_user_id="1", email="ada@example.org", first_name="Ada", last_name="Lovelace")
    work = Work(
        1, "k", Operation.GRANT, "id:members:1", learner, course=model.model_validate({"remote_product_id": "ABCD1234"})
    )
    numbers = itertools.repeat(None, deliveries)
    async with aiohttp.ClientSession() as session:
        connector = _connector(url, session)

        async def loop() -> None:
            for _ in numbers:
                await connector.deliver([work])

        started = time.perf_counter()
        await asyncio.gather(*(loop() for _ in range(CONCURRENCY)))
        return deliveries / (time.perf_counter() - started)


async def _lane(url: str, deliveries: int) -> float:
    """Claim, compute, deliver, settle, with a backlog of ``deliveries`` people."""
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger(f"sqlite:///{folder}/bench.db")
        await ledger.open()
        await fill(ledger, deliveries)
        async with aiohttp.ClientSession() as session:
            entry = catalogue().targets["lms"]
            done = asyncio.Event()
            count = itertools.count(1)

            def observe(*_: object) -> None:
                if next(count) == deliveries:
                    done.set()

            clock = SystemClock()
            lane = Lane(
                entry,
                _connector(url, session),
                ledger,
                catalogue,
                LanePolicy(concurrency=CONCURRENCY),
                clock,
                "bench",
                observe,
            )
            dispatcher = Dispatcher(ledger, {"lms": lane}, clock, 30.0)
            started = time.perf_counter()
            await dispatcher.start()
            await done.wait()
            await dispatcher.drain()
            took = time.perf_counter() - started
        await ledger.close()
        return deliveries / took


async def fill(ledger: Ledger, deliveries: int) -> None:
    """Have so many people buy."""
    intake, kind = Intake(ledger, catalogue), adapter()
    bodies = (request(f"d{number}").partition(b"\r\n\r\n")[2] for number in range(deliveries))

    async def send() -> None:
        for body in bodies:
            event = InboundEvent("POST", "/api/registrations", {}, {}, body, datetime.now(UTC))
            await intake.receive(source(), kind, event)

    await asyncio.gather(*(send() for _ in range(64)))
