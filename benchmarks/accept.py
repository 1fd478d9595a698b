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
KINDS = ("bare", "nothing", "sqlite", "single")


def measure(rounds: int, seconds: float, advance: Callable[[str], None]) -> dict[str, dict[str, float]]:
    """Measure every kind in turn, ``rounds`` times; return medians by kind. The server has one core, the load the other."""
    found: dict[str, list[dict[str, float]]] = {kind: [] for kind in KINDS}
    for turn in range(rounds):
        for kind in KINDS if turn % 2 == 0 else reversed(KINDS):
            advance(f"accept: {kind}, round {turn + 1}")
            with tempfile.TemporaryDirectory() as folder:
                found[kind].append(_one(kind, folder, seconds))
    return {
        kind: {name: statistics.median(run[name] for run in runs) for name in runs[0]} for kind, runs in found.items()
    }


def _one(kind: str, folder: str, seconds: float) -> dict[str, float]:
    server = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.server", kind, folder], stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        port = server.stdout.readline().strip()
        _load(port, min(seconds, 1.0))  # warm: statements parsed, models built
        before = _cpu(server.pid)
        result = _load(port, seconds)
        return {**result, "cpu_us": 1e6 * (_cpu(server.pid) - before) / (result["per_second"] * result["seconds"])}
    finally:
        server.kill()
        server.wait()


def _cpu(pid: int) -> float:
    """Return the CPU seconds a process has used: steadier than its throughput on a machine with neighbours."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _load(port: str, seconds: float) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.load", "127.0.0.1", port, str(CONNECTIONS), str(seconds)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    result: dict[str, float] = json.loads(done.stdout)
    return result
