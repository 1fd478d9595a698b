"""Several bridges on one PostgreSQL: ``python -m benchmarks --scale``.

Accepts against the same handler without a ledger; two bridges over one where the target takes its time; a thousand requests in
flight out of one bridge; and a vendor's limit that five bridges share. Bridges, target and database are processes of their own.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import accept
from benchmarks.daemon import Daemon, while_running
from benchmarks.deliver import fill
from benchmarks.postgresql import Server
from benchmarks.setting import configuration
from bridge.edge import logs
from bridge.ledger.store import Ledger

_PORT = 18_500


@dataclass(frozen=True)
class _Run:
    """What is run: so many bridges, a target that answers after so many seconds, so many people who wait."""

    bridges: int
    after: float
    people: int
    concurrency: int = 8
    limit: str = ""
    seconds: float | None = None  # None: until everybody is in


def measure(
    rounds: int, seconds: float, deliveries: int, advance: Callable[[str], None]
) -> dict[str, dict[str, float]]:
    """Measure all of it; ``seconds``: of each accept measurement, and fifteen to thirty times as long for the limits."""
    logs.configure("error")
    server = Server()
    try:
        return {
            "accept": _accepts(server, rounds, seconds, advance),
            "two": _two(server, rounds, deliveries, advance),
            "flight": _flight(server, advance),
            "second": _limit(server, 1.0, seconds * 15, advance),
            "vendor": _limit(server, 10.0, seconds * 30, advance),
        }
    finally:
        server.end()


def _accepts(server: Server, rounds: int, seconds: float, advance: Callable[[str], None]) -> dict[str, float]:
    found: dict[str, list[float]] = {"nothing": [], "postgresql-event": [], "postgresql": []}
    for turn in range(rounds):
        for kind in found if turn % 2 == 0 else reversed(found):
            advance(f"scale: accepts, {kind}, round {turn + 1}")
            run = accept.one(kind, _database(server, "accepts"), seconds, accept.TWO_CORES, 0.0)
            found[kind].append(run["per_second"])
    nothing, event, kept = (statistics.median(rates) for rates in found.values())
    return {
        "nothing_per_second": nothing,
        "event_per_second": event,
        "event_ratio": event / nothing,
        "postgresql_per_second": kept,
        "ratio": kept / nothing,
    }


def _two(server: Server, rounds: int, deliveries: int, advance: Callable[[str], None]) -> dict[str, float]:
    found: dict[int, list[float]] = {1: [], 2: []}
    for turn in range(rounds):
        for bridges, rates in found.items():
            advance(f"scale: {bridges} bridges, round {turn + 1}")
            came = asyncio.run(_run(server, _Run(bridges, 0.2, deliveries, concurrency=100)))["came"]
            middle = came[len(came) // 5 : len(came) * 4 // 5]  # while all of them are at work
            rates.append(len(middle) / (middle[-1] - middle[0]))
    one, two = (statistics.median(found[bridges]) for bridges in (1, 2))
    return {"one_per_second": one, "two_per_second": two, "ratio": two / one}


def _flight(server: Server, advance: Callable[[str], None]) -> dict[str, float]:
    advance("scale: a thousand in flight")
    seen = asyncio.run(_run(server, _Run(1, 8.0, 2_500, concurrency=1_000)))
    return {"peak": seen["peak"]}


def _limit(server: Server, window: float, seconds: float, advance: Callable[[str], None]) -> dict[str, float]:
    """Let five bridges share a limit of 100 requests in a window.

    In a window of a second the target's 50 ms alone leave 95.2 % of it; in one of ten seconds, as HubSpot's is, 99.5 %.
    """
    requests = 100
    advance(f"scale: one limit for five bridges, {requests} in {window:g} s")
    limit = f'rate_limit = ["{requests}/{window:g}s"]'
    people = int(requests * (seconds + 15) / window)
    came = asyncio.run(_run(server, _Run(5, 0.05, people, concurrency=40, limit=limit, seconds=seconds)))["came"]
    steady = [at for at in came if at >= came[0] + 2 * window]
    most = exceeded = first = 0
    for place, at in enumerate(came):
        while at - came[first] >= window:
            first += 1
        most = max(most, place - first + 1)
        exceeded += place - first + 1 > requests
    windows = (len(steady) - 1) // requests  # whole ones: they come in bursts
    used = windows * window / (steady[windows * requests] - steady[0])
    return {"used": used, "most_in_a_window": most, "exceeded": exceeded, "seconds": came[-1] - came[0]}


def _database(server: Server, name: str) -> str:
    server.ask(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    return server.create(name)


async def _run(server: Server, run: _Run) -> dict[str, Any]:
    """Let the bridges work off what waits; return what the target saw.

    Raises:
        BridgeEnded: one of them ended before that.
    """
    url = _database(server, "scale")
    ledger = Ledger(url)
    await ledger.open()
    await fill(ledger, run.people)
    await ledger.write(lambda unit: unit.run("UPDATE delivery SET state = 'done' WHERE target <> 'lms'"))
    await ledger.close()
    target = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.slow", str(run.after)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert target.stdout is not None
    port = int(await target.stdout.readline())
    bridges: list[Daemon] = []
    with tempfile.TemporaryDirectory() as folder:
        try:
            bridges += [await _start(Path(folder), url, port, number, run) for number in range(run.bridges)]
            for bridge in bridges:
                await bridge.ready(0.05)
            await while_running(bridges, _worked_off(server, url, run))
        finally:
            await asyncio.gather(*(bridge.stop() for bridge in bridges))
            told, _ = await target.communicate(b"")  # the end of its input ends it
    seen: dict[str, Any] = json.loads(told)
    return seen


async def _start(folder: Path, url: str, target: int, number: int, run: _Run) -> Daemon:
    more = f'concurrency = {run.concurrency}\ntimeout = "20s"\n{run.limit}'
    config = await asyncio.to_thread(configuration, str(folder), _PORT + number, target, "bench-key", url, more)
    return await Daemon.start(config, _PORT + number, "--role", "dispatch")


async def _worked_off(server: Server, url: str, run: _Run) -> None:
    if run.seconds is not None:
        await asyncio.sleep(run.seconds)
        return
    left = "SELECT count(*) FROM delivery WHERE state <> 'done'"
    while (await asyncio.to_thread(server.ask, left, at=url))[0][0]:  # noqa: ASYNC110 - other processes work
        await asyncio.sleep(0.5)
