"""What the console's overview costs an operator who looks: with a million registrations in the ledger, and with none."""

from __future__ import annotations

import asyncio
import re
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta

import aiohttp
from argon2 import PasswordHasher

from benchmarks.daemon import Daemon
from benchmarks.setting import catalogue, configuration
from benchmarks.size import fill, made
from bridge.edge.console.glance import Glance
from bridge.edge.health import Standing
from bridge.kit.clock import SystemClock
from bridge.ledger.store import Ledger

_PORT = 18_474
_PASSWORD = "a word for the benchmark"
_DAYS = 30
_TURNS = 20
_BETWEEN = 1.1  # seconds: so that each view asks for something fresher than what is kept
_LATE = 300  # dead letters and lines in quarantine, so that there is something to group
_AGES = """
UPDATE event SET received_at = {now} - ({rows} - id) * {step};
UPDATE "right" SET held_at = (SELECT received_at + 900 FROM event WHERE event.id = "right".id);
INSERT INTO attempt (delivery_id, at, ms, operation, outcome)
 SELECT d.id, e.received_at + 700, 200, 'grant', 'receipt' FROM delivery d JOIN event e ON e.id = d.event_id;
UPDATE delivery SET state = 'dead', why = 'HTTP 422: no', remedy = 'Look.' WHERE id <= {late};
INSERT INTO quarantine (event_id, source, kind, remote_product_id, learner_key, occurred_at, state, created_at, updated_at)
 SELECT id, 'ams', 'unmapped', 'NEW-' || (id % 9), 'old-' || id, 0, 'waiting', 0, 0 FROM event WHERE id <= {late}
"""


def measure(rows: int, advance: Callable[[str], None]) -> dict[str, float]:
    """Return milliseconds of the first view, of later ones (median, slowest), and of one look at the ledger, as ``empty_…`` and ``large_…``."""
    found: dict[str, float] = {"rows": rows}
    for name, count in (("empty", 0), ("large", rows)):
        with tempfile.TemporaryDirectory() as folder:
            advance(f"overview: a ledger with {count} registrations")
            asyncio.run(made(folder))
            _age(folder, count)
            views = asyncio.run(_viewed(folder))
            found |= {f"{name}_{what}": ms for what, ms in {**views, **asyncio.run(_looked(folder))}.items()}
    return found


def _age(folder: str, rows: int) -> None:
    """Fill the ledger, evenly over a month up to now, each purchase in within a second; some dead, some in quarantine."""
    if not rows:
        return
    fill(folder, rows, open_work=False)
    step = _DAYS * 86_400_000 // rows
    with closing(sqlite3.connect(f"{folder}/bench.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute("BEGIN")
        for statement in _AGES.split(";\n"):
            now = int(time.time() * 1000)
            connection.execute(statement.format(now=now, rows=rows, step=step, late=min(_LATE, rows)))
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


async def _viewed(folder: str) -> dict[str, float]:
    """Run a daemon, log in, and look at the overview: at once after the start, and then again and again."""
    config = configuration(folder, _PORT, 9, "bench-key")
    users = f'\n[console.users.ada]\npassword = "{PasswordHasher().hash(_PASSWORD)}"\n'
    config.write_text(config.read_text() + users)
    daemon = await Daemon.start(config, _PORT)
    try:
        await daemon.ready()
        jar = aiohttp.CookieJar(unsafe=True)
        async with aiohttp.ClientSession(f"http://127.0.0.1:{_PORT}", cookie_jar=jar) as session:
            await _log_in(session)
            first = await _view(session)
            later = []
            for _ in range(_TURNS):
                await asyncio.sleep(_BETWEEN)
                later.append(await _view(session))
    finally:
        await daemon.stop()
    return {"first": first, "median": statistics.median(later), "slowest": max(later)}


async def _log_in(session: aiohttp.ClientSession) -> None:
    async with session.get("/console/login") as answer:
        token = re.findall(r'name="csrf" value="([^"]+)"', await answer.text())[0]
    fields = {"csrf": token, "name": "ada", "password": _PASSWORD}
    async with session.post("/console/login", data=fields, allow_redirects=False) as answer:
        assert answer.status == 303, answer.status


async def _view(session: aiohttp.ClientSession) -> float:
    begun = time.perf_counter()
    async with session.get("/console/") as answer:
        text = await answer.text()
        took = time.perf_counter() - begun
        assert "Purchases today" in text, answer.status
    return took * 1000


class _Nobody:
    """A bridge without lanes."""

    @staticmethod
    def standing() -> Standing:
        """Return that nothing runs here."""
        return Standing(role="all", lanes={}, running=True, leads=True, fenced=False, bridges=1, beat_age=0.0, uses={})


async def _looked(folder: str) -> dict[str, float]:
    """Return milliseconds of one look at the ledger, which pages do not wait for: the first, and the median of later ones."""
    ledger = Ledger(f"sqlite:///{folder}/bench.db")
    await ledger.open()
    glance = Glance(ledger, catalogue, _Nobody(), SystemClock(), lambda: timedelta(hours=1))
    took = []
    for _ in range(_TURNS + 1):
        glance.changed()
        begun = time.perf_counter()
        await glance.now()
        took.append((time.perf_counter() - begun) * 1000)
    await ledger.close()
    return {"first_look": took[0], "look": statistics.median(took[1:])}
