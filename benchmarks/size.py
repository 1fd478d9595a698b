"""What the size of the ledger costs: accepts, claims, the start, and memory, with many rows against with none."""

from __future__ import annotations

import asyncio
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.daemon import Daemon
from benchmarks.load import request
from benchmarks.setting import adapter, catalogue, configuration, source
from bridge.contract.inbound import InboundEvent
from bridge.edge import logs
from bridge.intake.intake import Intake
from bridge.kit.clock import SystemClock, milliseconds
from bridge.ledger import claims
from bridge.ledger.claims import ClaimRequest
from bridge.ledger.store import Ledger

_SERIES = "(WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {rows}) SELECT n FROM c)"
_MAKE = """
INSERT INTO event (source, adapter, event_key, received_at, method, path, body, state)
 SELECT 'ams', 'elevate', NULL, n, 'POST', '/api/registrations', '{{}}', 'accepted' FROM {series};
INSERT INTO learner (namespace, remote_user_id, email, email_key, first_name, last_name, occurred_at, created_at, updated_at)
 SELECT 'members', 'old-' || n, 'old-' || n || '@example.org', 'old-' || n || '@example.org', 'Ada', 'Lovelace', 0, 0, 0 FROM {series};
INSERT INTO registration (source, learner_id, remote_product_id, intent, state, occurred_at, targets, mapping_version_id, event_id,
  created_at, updated_at)
 SELECT 'ams', n, 'ABCD1234', 'live', '{state}', 0, '[]', NULL, n, 0, 0 FROM {series};
INSERT INTO "right" (target, person, course_key, course, learner_id, wanted, held, created_at, updated_at)
 SELECT 'lms', 'id:members:old-' || n, '{{"remote_product_id":"ABCD1234"}}', '{{"remote_product_id":"ABCD1234"}}', n, 1, '{held}', 0, 0
 FROM {series};
INSERT INTO "grant" (registration_id, course, right_id, live) SELECT n, 'intro-ce', n, 1 FROM {series};
INSERT INTO effect (event_id, registration_id, effect) SELECT n, n, 'created' FROM {series};
INSERT INTO delivery (target, kind, key, right_id, person, learner_id, registration_id, event_id, state, due_at, created_at, updated_at)
 SELECT 'lms', 'right', 'right:' || n, n, 'id:members:old-' || n, n, n, n, '{delivery}', n, 0, 0 FROM {series}
"""


def measure(rows: int, advance: Callable[[str], None]) -> dict[str, float]:
    """Return ratios: with ``rows`` registrations in the ledger, over with none."""
    logs.configure("error")
    found: dict[str, dict[str, float]] = {}
    for name, count, open_work in (("empty", 0, False), ("settled", rows, False), ("backlog", rows, True)):
        with tempfile.TemporaryDirectory() as folder:
            advance(f"size: a ledger with {count} registrations, {'open' if open_work else 'settled'}")
            asyncio.run(made(folder))
            fill(folder, count, open_work=open_work)
            found[name] = asyncio.run(_daemon(folder))
            if not open_work:
                advance(f"size: accepts and claims with {count} registrations")
                found[name] |= asyncio.run(_costs(folder))
    empty, settled, backlog = found["empty"], found["settled"], found["backlog"]
    return {
        "rows": rows,
        "accept": settled["accept"] / empty["accept"],
        "claim": settled["claim"] / empty["claim"],
        "start": settled["start"] / empty["start"],
        "memory": backlog["memory"] / empty["memory"],
        "memory_mb": backlog["memory"],
        "start_seconds": settled["start"],
    }


async def made(folder: str) -> None:
    ledger = Ledger(f"sqlite:///{folder}/bench.db")
    await ledger.open()
    await ledger.close()


def fill(folder: str, rows: int, *, open_work: bool) -> None:
    if not rows:
        return
    words = ("pending", "no", "open") if open_work else ("active", "yes", "done")
    with closing(sqlite3.connect(f"{folder}/bench.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute("BEGIN")
        for statement in _MAKE.split(";\n"):
            made = dict(zip(("state", "held", "delivery"), words, strict=True))
            connection.execute(statement.format(series=_SERIES.format(rows=rows), **made))
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


async def _daemon(folder: str) -> dict[str, float]:
    """Start the daemon; return seconds until it is ready, and its memory some seconds later (megabytes)."""
    port = 18_473
    config = configuration(folder, port, 9, "bench-key")  # where nobody listens
    begun = time.perf_counter()
    daemon = await Daemon.start(config, port)
    try:
        await daemon.ready()
        took = time.perf_counter() - begun
        await asyncio.sleep(8.0)  # the target can't be reached: the lane claims, fails, and opens its breaker
        pages = int(Path(f"/proc/{daemon.process.pid}/statm").read_text().split()[1])  # noqa: ASYNC240 - as above
        return {"start": took, "memory": pages * 4096 / 1e6}
    finally:
        await daemon.stop()


async def _costs(folder: str) -> dict[str, float]:
    """Return seconds for accepting 64 purchases at once, and for claiming 100 of what is due; medians."""
    ledger = Ledger(f"sqlite:///{folder}/bench.db")
    await ledger.open()
    intake, kind = Intake(ledger, catalogue), adapter()
    accepts, taken = [], []
    for turn in range(40):
        bodies = [request(f"new-{turn}-{number}").partition(b"\r\n\r\n")[2] for number in range(64)]
        events = [InboundEvent("POST", "/api/registrations", {}, {}, body, datetime.now(UTC)) for body in bodies]
        begun = time.perf_counter()
        await asyncio.gather(*(intake.receive(source(), kind, event) for event in events))
        accepts.append(time.perf_counter() - begun)
    for _ in range(20):
        now = milliseconds(SystemClock().now())
        begun = time.perf_counter()
        await ledger.submit(claims.claim, ClaimRequest("lms", 100, "bench", now, 30_000, by_email=False))
        taken.append(time.perf_counter() - begun)
    await ledger.close()
    return {"accept": statistics.median(accepts), "claim": statistics.median(taken)}
