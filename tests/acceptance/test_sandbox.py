"""``bridge sandbox``: an operator's own configuration, against emulated targets that stay up."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from bridge.cli.example import example_course
from bridge.cli.sandboxed import MARK, point_at, sandboxed, text_of
from bridge.registry import Registry, connector_class, emulator_class
from config.load import load
from tests.acceptance.cli_rig import ADA, BOB, Served, ask, asked, look
from tests.acceptance.rig import AMS_KEY, Client, free_port, until

OWN = """
[server]
port = {port}

[ledger]
url = "postgresql://bridge:${{NOBODY_KNOWS}}@db.example.org/bridge"
keep_events = "30d"

[mailer]
url = "smtp://mail.example.org"
sender = "courses@example.org"

[alerts]
mail = ["ops@example.org"]

[dispatch]
retry = ["100ms", "200ms"]
breaker_probe = "200ms"

[sources.ams]
adapter = "elevate"
api_key = {{ file = "secrets/ams" }}
namespace = "members"

[targets.lms]
connector = "moodle"
base_url = "https://school.example.org"
token = "${{NOBODY_KNOWS}}"
rate_limit = ["50/1s"]

[targets.crm]
connector = "salesforce"
base_url = "https://example.my.salesforce.com"
client_id = "${{NOBODY_KNOWS}}"
username = "bridge@example.org"
private_key = {{ file = "no/such/key.pem" }}

[targets.crm.contact]
LastName = "{{learner.last_name}}"
Email = "{{learner.email}}"
Favourite_Course__c = "{{course.title}}"

[courses.intro-ce]
title = "Introduction \\"CE\\""
lms = {{ course_id = 4711 }}

[[products]]
source = "ams"
remote_product_id = "ABCD1234"
courses = ["intro-ce"]
"""


@asynccontextmanager
async def playing(*words: object) -> AsyncIterator[dict[str, Any]]:
    """Run the real command until the block ends; yields what it tells as JSON. It has to end well when it is interrupted."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bridge", "sandbox", "--json", *map(str, words)), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        yield json.loads(await asyncio.wait_for(process.stdout.readuntil(b"\n}\n"), 60))
    finally:
        process.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(process.wait(), 20) == 0


def own(folder: Path, port: int = 8080) -> Path:
    """Write an operator's configuration, with the one secret that senders use, and without those of the targets."""
    (folder / "secrets").mkdir()
    (folder / "secrets" / "ams").write_text(AMS_KEY)
    (folder / "secrets" / "ams").chmod(0o600)
    config = folder / "bridge.toml"
    config.write_text(OWN.format(port=port))
    return config


async def held(session: aiohttp.ClientSession, base_url: str) -> list[tuple[str, str]]:
    async with session.get(f"{base_url}/_sandbox/holdings") as answer:
        return [(row["person"], row["kind"]) for row in await answer.json() if row["live"]]


async def holds(session: aiohttp.ClientSession, base_url: str, wanted: tuple[str, str]) -> None:
    for _ in range(600):
        if wanted in await held(session, base_url):
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"{wanted} did not come to {base_url}")


async def test_a_configuration_is_rehearsed_before_its_targets_are_real(tmp_path) -> None:
    """From the file as it will be: a purchase arrives at the emulated targets, an outage that is switched on holds it up, and no secret of a target is needed."""
    port = free_port()
    config, copy = own(tmp_path, port), tmp_path / "elsewhere" / "rehearsal.toml"
    copy.parent.mkdir()
    async with playing("--config", config, "--write", copy) as told, aiohttp.ClientSession() as session:
        lms, crm = (target["base_url"] for target in told["targets"])
        assert (told["written"], copy.stat().st_mode & 0o077) == (str(copy), 0)
        doctor = await asked("doctor", "--json", "--config", copy)
        assert doctor.code == 0, doctor.out
        daemon = Served(copy, port)
        await daemon.start()
        try:
            client = Client(daemon.base_url, session)
            assert (await client.register(**ADA))[0] == 200
            await holds(session, lms, (ADA["email"], "enrollment"))
            await holds(session, crm, (ADA["email"], "contact"))
            async with session.post(f"{lms}/_sandbox/faults", json=[{"mode": "cut"}]) as answer:
                assert await answer.json() == {"faults": 1}
            assert (await client.register(**BOB))[0] == 200
            await until(
                lambda: look(copy.with_name("rehearsal.sandbox.db"), "SELECT 1 FROM attempt WHERE outcome = 'later'")
            )
            assert (BOB["email"], "enrollment") not in await held(session, lms)
            async with session.post(f"{lms}/_sandbox/faults", json=[]):
                await holds(session, lms, (BOB["email"], "enrollment"))
        finally:
            await daemon.stop()
        assert copy.with_name("rehearsal.sandbox.db").is_file()


async def test_one_connector_is_emulated_without_any_configuration(tmp_path) -> None:
    """At the port that was asked for."""
    port = free_port()
    async with playing("hubspot", "--port", port, "--config", tmp_path / "none.toml") as told:
        (target,) = told["targets"]
    assert (target["base_url"], target["settings"]["connector"]) == (f"http://127.0.0.1:{port}", "hubspot")


def test_a_port_that_is_taken_is_told() -> None:
    """With exit code 1, and what to do."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        said = ask("sandbox", "hubspot", "--port", port)
    assert (said.code, said.out) == (1, "")
    assert said.err == (
        f"bridge: can't listen on 127.0.0.1:{port}: Address already in use; stop what listens there, or give another --port\n"
    )


def test_nobody_loses_a_file_of_their_own(tmp_path) -> None:
    """Neither the configuration itself is written over, nor another file, nor a folder."""
    config = own(tmp_path)
    other = tmp_path / "other.toml"
    other.write_text("# mine\n")
    for path in (config, other):
        before = path.read_text()
        said = ask("sandbox", "--config", config, "--write", path)
        assert (said.code, path.read_text()) == (1, before)
        assert "was not written by `bridge sandbox`" in said.err
    assert ask("sandbox", "--config", config, "--write", tmp_path).code == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("hubspott",), "no target of type"),
        (("hubspot", "--write", "x.toml"), "goes with all targets"),
        (("hubspot", "--port", "0"), "--port"),
    ],
)
def test_bad_usage_is_told(words, said) -> None:
    """With exit code 2, and nothing is started."""
    found = ask("sandbox", *words)
    assert (found.code, found.out) == (2, "")
    assert said in found.err


def test_a_fault_of_the_configuration_is_told_of_the_operators_own_file(tmp_path) -> None:
    """And not of the copy, of which nobody knows."""
    config = own(tmp_path)
    config.write_text(config.read_text().replace("course_id = 4711", "course_idd = 4711"))
    said = ask("sandbox", "--config", config)
    assert (said.code, said.out) == (2, "")
    assert f"\n{config}: courses.intro-ce.lms.course_idd: unknown key" in said.err
    config.write_text("[targets")
    assert ask("sandbox", "--config", config).err.startswith(f"{config}:1: syntax: ")


@pytest.mark.parametrize("connector", Registry().emulators())
def test_every_connector_takes_what_is_printed(connector: str, tmp_path) -> None:
    """The lines that point a target at its emulator are a whole target."""
    emulator = emulator_class(connector)()
    emulator.base_url = "http://127.0.0.1:9100"
    kind = connector_class(connector)
    course = {} if kind.Course is None else {connector: dict(emulator.course) or example_course(kind.Course)}
    tree = {"targets": {connector: point_at(emulator, connector)}, "courses": {"intro": {"title": "Intro", **course}}}
    path = tmp_path / "bridge.toml"
    path.write_text(text_of(tree))
    assert str(load(path, Registry(), env={}).settings.targets[connector].base_url).startswith(emulator.base_url)


def test_a_target_that_can_not_be_emulated_is_not_reached(tmp_path) -> None:
    """The copy disables it, and leaves out whatever would tell somebody of something."""
    tree = {
        "targets": {"lms": {"connector": "moodle", "token": "real", "retries": 1}, "own": {"connector": "docebo"}},
        "alerts": {"to": ["ops@example.org"]},
        "mailer": {"url": "smtp://mail.example.org"},
        "ledger": {"url": "sqlite:///real.db", "keep_events": "30d"},
    }
    emulator = emulator_class("moodle")()
    text = sandboxed(tree, tmp_path, {"lms": emulator}, tmp_path / "rehearsal.db")
    assert text.startswith(MARK)
    assert 'connector = "docebo"\nenabled = false' in text
    assert not {"real", "real.db", "ops@example.org", "mail.example.org"} & set(text.replace('"', " ").split())
    assert 'keep_events = "30d"' in text


async def test_a_fault_that_is_none_changes_nothing() -> None:
    """An emulator says what it expected, and goes on as before."""
    async with emulator_class("hubspot")() as emulator, aiohttp.ClientSession() as session:
        faults = f"{emulator.base_url}/_sandbox/faults"
        async with session.post(faults, json=[{"mode": "status", "status": 429, "times": 2}]) as answer:
            assert answer.status == 200
        for wrong in (
            [{"mode": "bogus"}],
            [{"status": 500}],
            [{"mode": "cut", "tmies": 1}],
            {"mode": "cut"},
            "cut",
            [7],
        ):
            async with session.post(faults, json=wrong) as answer:
                assert (answer.status, "error" in await answer.json()) == (422, True), wrong
        async with session.post(faults, data=b"\xff{") as answer:
            assert answer.status == 422
        assert [(fault.mode, fault.status, fault.times) for fault in emulator.faults] == [("status", 429, 2)]
