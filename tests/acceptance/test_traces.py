"""Traces: one from a sender's call to the attempts at the targets, and never in anybody's way."""

from __future__ import annotations

import asyncio
import io
import json
import sqlite3
import sys
import time
from pathlib import Path

import pytest
import structlog

from bridge.edge import logs
from tests.acceptance.collector import collecting
from tests.acceptance.rig import configuration, emulators, free_port, live, running, until

TRACES = "\n[telemetry]\ntraces = true\n"
TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"
REQUEST = {"api_key": "ams-key-for-tests", "remote_user_id": "u7", "remote_product_id": "ABCD1234", "amount_paid": "0"}
ADA = {"firstname": "Adalearner", "lastname": "Lovelearner", "email": "ada.secret@example.org"}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    for name, value in {"BSP_SCHEDULE_DELAY": "50", "EXPORTER_OTLP_TIMEOUT": "1"}.items():
        monkeypatch.setenv(f"OTEL_{name}", value)


def send_to(monkeypatch, url: str) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)


async def bought(ams, **headers: str):
    return await ams.post("/api/registrations", json={**REQUEST, **ADA}, headers=headers)


def kept(folder: Path) -> list[str | None]:
    with sqlite3.connect(folder / "bridge.db") as ledger:
        found = [row[0] for row in ledger.execute("SELECT traceparent FROM delivery ORDER BY id")]
    ledger.close()
    return found


async def test_one_trace_from_the_call_to_the_attempts(tmp_path: Path, monkeypatch):
    """The sender's own trace goes on through the request to the LMS's and the CRM's attempt, without learner data."""
    async with collecting() as collector, emulators("elevate", "hubspot") as targets:
        send_to(monkeypatch, collector.url)
        async with running(tmp_path, targets, extra=TRACES) as (_, ams):
            status, told = await bought(ams, traceparent=PARENT, tracestate="who=ada.secret@example.org")
            assert status == 200
            await until(lambda: len(collector.named("attempt")) == 2 and collector.named("receive"))
    (received,) = collector.named("receive")
    assert (received.trace_id, received.parent_id) == (TRACE, "b7ad6b7169203331")
    event = received.about.pop("bridge.event_id")
    assert received.about == {
        "bridge.source": "ams",
        "bridge.adapter": "elevate",
        "bridge.became": "accepted",
        "http.response.status_code": 200,
    }
    for attempt in collector.named("attempt"):
        assert (attempt.trace_id, attempt.parent_id) == (TRACE, received.span_id)
        assert (attempt.about["bridge.event_id"], attempt.about["bridge.outcome"]) == (event, "receipt")
    assert {attempt.about["bridge.target"] for attempt in collector.named("attempt")} == {"elevate", "hubspot"}
    assert {str(attempt.about["bridge.registration_id"]) for attempt in collector.named("attempt")} == {
        str(told["registration_id"])
    }
    sent = b"".join(collector.bodies).lower()
    assert collector.services == {"registration-bridge"}
    for secret in ("adalearner", "lovelearner", "ada.secret", "ams-key", "u7@"):
        assert secret.encode() not in sent


async def test_the_trace_outlives_a_restart(tmp_path: Path, monkeypatch):
    """What one process accepted and another delivers is one trace; each attempt is a span, and who asks again joins nothing."""
    async with collecting() as collector, emulators("elevate") as targets:
        send_to(monkeypatch, collector.url)
        async with running(tmp_path, targets, extra=TRACES) as (bridge, ams):
            bridge.dispatcher.lanes["elevate"].pause("somebody")
            await bought(ams, traceparent=PARENT)
            await bought(ams, traceparent=PARENT.replace(TRACE, TRACE[::-1]))
        (carried,) = kept(tmp_path)
        assert TRACE in carried
        async with running(tmp_path, targets, extra=TRACES):
            await until(lambda: collector.named("attempt"))
    assert {attempt.trace_id for attempt in collector.named("attempt")} == {TRACE}
    assert {received.trace_id for received in collector.named("receive")} == {TRACE, TRACE[::-1]}


@pytest.mark.parametrize("parent", ["", "garbage", f"00-{'0' * 32}-{'0' * 16}-01", "00-" + "é" * 32, "f" * 4000])
async def test_a_traceparent_that_is_none_begins_a_new_trace(tmp_path: Path, monkeypatch, parent: str):
    """Whatever stands in the header, the purchase is taken and its attempt belongs to its own trace."""
    async with collecting() as collector, emulators("elevate") as targets:
        send_to(monkeypatch, collector.url)
        async with running(tmp_path, targets, extra=TRACES) as (_, ams):
            assert (await bought(ams, traceparent=parent))[0] == 200
            await until(lambda: collector.named("attempt") and collector.named("receive"))
    (received,), (attempt,) = collector.named("receive"), collector.named("attempt")
    assert received.parent_id == ""
    assert attempt.trace_id == received.trace_id


async def test_a_call_that_is_refused_is_told_without_what_it_said(tmp_path: Path, monkeypatch):
    """A wrong key is unauthorised, of nobody's source."""
    async with collecting() as collector, emulators("elevate") as targets:
        send_to(monkeypatch, collector.url)
        async with running(tmp_path, targets, extra=TRACES) as (_, ams):
            await ams.register(key="a-guess")
            await until(lambda: collector.named("receive"))
    (received,) = collector.named("receive")
    assert received.about["bridge.became"] == "unauthorised"
    assert b"a-guess" not in b"".join(collector.bodies)


async def test_log_lines_carry_the_ids(tmp_path: Path, monkeypatch):
    """What is logged of the call and of the attempt names the spans it belongs to."""
    told = io.StringIO()
    async with collecting() as collector, emulators("elevate") as targets:
        send_to(monkeypatch, collector.url)
        logs.configure("info", "json", told)
        try:
            async with running(tmp_path, targets, extra=TRACES) as (_, ams):
                await bought(ams, traceparent=PARENT)
                await until(lambda: collector.named("attempt") and collector.named("receive"))
        finally:
            structlog.reset_defaults()
    lines = {line["event"]: line for line in map(json.loads, told.getvalue().splitlines())}
    for event, beginning in {"intake.accepted": "receive", "dispatch.attempted": "attempt"}.items():
        (span,) = collector.named(beginning)
        assert (lines[event]["trace_id"], lines[event]["span_id"]) == (span.trace_id, span.span_id)
    assert "trace_id" not in lines["bridge.stopped"]


@pytest.mark.parametrize("mood", ["down", "failing", "garbage", "silent"])
async def test_a_collector_that_is_not_well_changes_nothing(tmp_path: Path, monkeypatch, mood: str):
    """Purchases are taken and delivered, and the bridge stops in time."""
    async with collecting("well" if mood == "down" else mood) as collector, emulators("elevate") as targets:
        send_to(monkeypatch, f"http://127.0.0.1:{free_port()}" if mood == "down" else collector.url)
        monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "8")
        monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4")
        async with running(tmp_path, targets, extra=TRACES) as (_, ams):
            answers = await asyncio.gather(*(ams.register(f"u{number}") for number in range(20)))
            assert {status for status, _ in answers} == {200}
            await until(lambda: len(live(targets["elevate"])) == 20)
            assert mood == "down" or collector.calls
            stopped = time.monotonic()
        assert time.monotonic() - stopped < 12


async def test_settings_that_cannot_be_used_are_logged_and_stop_nothing(tmp_path: Path, monkeypatch):
    """The bridge runs without traces, and says so."""
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "-5")
    async with emulators("elevate") as targets:
        with structlog.testing.capture_logs() as lines:
            async with running(tmp_path, targets, extra=TRACES) as (_, ams):
                assert (await bought(ams, traceparent=PARENT))[0] == 200
                await until(lambda: live(targets["elevate"]))
    assert [line["event"] for line in lines].count("traces.off") == 1
    assert kept(tmp_path) == [None]


WITHOUT = """
import asyncio, sys
from pathlib import Path
from bridge.app import Bridge
from bridge.registry import Registry
from config.load import load

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "opentelemetry":
            sys.stderr.write("LOOKED FOR\\n")
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Missing())

async def main():
    for path in sys.argv[1:]:
        print("STARTS", path, flush=True, file=sys.stderr)
        bridge = Bridge(load(Path(path), Registry(), env={}).settings)
        await bridge.start()
        await bridge.stop()

asyncio.run(main())
"""


async def test_without_the_extra_a_bridge_runs(tmp_path: Path):
    """Where traces are not wanted it is not even looked for; where they are, the log says what to install."""
    plain, traced = (tmp_path / name for name in ("plain", "traced"))
    async with emulators("elevate") as targets:
        for folder, extra in ((plain, ""), (traced, TRACES)):
            folder.mkdir()
            configuration(folder, targets, extra=extra)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", WITHOUT, str(plain / "bridge.toml"), str(traced / "bridge.toml")),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        told = (await process.communicate())[0].decode()
    assert process.returncode == 0, told
    starts = told.index(f"STARTS {traced}")
    assert "LOOKED FOR" not in told[:starts]
    assert "LOOKED FOR" in told[starts:]
    assert "registration-bridge[otel]" in told


async def test_without_traces_the_ledger_is_asked_nothing_more(tmp_path: Path, monkeypatch):
    """No statement names the column, whatever a sender sends."""
    asked: list[str] = []
    async with emulators("elevate", "hubspot") as targets, running(tmp_path, targets) as (bridge, ams):
        await bridge.ledger.write(lambda unit: unit._driver.set_trace_callback(asked.append))
        await bought(ams, traceparent=PARENT)
        await until(lambda: len(live(targets["elevate"])) == 1)
    assert any('INTO "delivery"' in statement for statement in asked)
    assert not any("traceparent" in statement for statement in asked)
    assert set(kept(tmp_path)) == {None}
