"""Durable accepts per second, against the same handler without a ledger and against a bare aiohttp handler."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

CONNECTIONS = 64
KINDS = ("bare", "nothing", "event", "sqlite", "single")
COMPARED = ("nothing", "event", "sqlite")
ONE_CORE, TWO_CORES = (0, 1), (-1, -1)  # where the server is, and the load


def measure(rounds: int, seconds: float, advance: Callable[[str], None]) -> dict[str, dict[str, float]]:
    """Measure every kind in turn, ``rounds`` times; return medians by kind. The server has one core, the load the other.

    ``KIND/2`` shares both cores with the load, as a daemon does that nobody pins; ``KIND/half`` is sent half of what the durable
    one takes.
    """
    found: dict[str, list[dict[str, float]]] = {}

    def note(name: str, kind: str, cores: tuple[int, int], rate: float = 0.0) -> None:
        advance(f"accept: {name}, round {turn + 1}")
        with tempfile.TemporaryDirectory() as folder:
            found.setdefault(name, []).append(one(kind, folder, seconds, cores, rate))

    for turn in range(rounds):
        for kind in KINDS if turn % 2 == 0 else reversed(KINDS):
            note(kind, kind, ONE_CORE)
        half = found["sqlite"][-1]["per_second"] / 2
        for kind in COMPARED if turn % 2 == 0 else reversed(COMPARED):
            note(f"{kind}/2", kind, TWO_CORES)
            note(f"{kind}/half", kind, ONE_CORE, half)
    return {
        kind: {name: statistics.median(run[name] for run in runs) for name in runs[0]} for kind, runs in found.items()
    }


def one(kind: str, folder: str, seconds: float, cores: tuple[int, int], rate: float) -> dict[str, float]:
    """Measure one kind of server, with its ledger in ``folder`` or, on PostgreSQL, at that address."""
    server = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.server", kind, folder, str(cores[0])], stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        port = server.stdout.readline().strip()
        _load(port, min(seconds, 1.0), 0.0, cores[1])  # warm: statements parsed, models built
        before = _cpu(server.pid)
        result = _load(port, seconds, rate, cores[1])
        return {**result, "cpu_us": 1e6 * (_cpu(server.pid) - before) / (result["per_second"] * result["seconds"])}
    finally:
        server.kill()
        server.wait()


def _cpu(pid: int) -> float:
    """Return the CPU seconds a process has used: steadier than its throughput on a machine with neighbours."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _load(port: str, seconds: float, rate: float, core: int) -> dict[str, float]:
    words = ["127.0.0.1", port, str(CONNECTIONS), str(seconds), str(rate), str(core)]
    done = subprocess.run([sys.executable, "-m", "benchmarks.load", *words], check=True, capture_output=True, text=True)
    result: dict[str, float] = json.loads(done.stdout)
    return result
