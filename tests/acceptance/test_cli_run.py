"""``bridge run`` as a process: one a ledger, drained by a signal, and asked by other verbs while it runs."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
from contextlib import asynccontextmanager

import aiohttp
import pytest

from tests.acceptance.cli_rig import ADA, BOB, Said, Served, asked, command, look, started
from tests.acceptance.rig import Client, configuration, emulators, free_port, live, until


@asynccontextmanager
async def serving(folder):
    """Run the daemon with an emulated LMS; yields (daemon, client, emulator)."""
    port = free_port()
    async with emulators("elevate") as targets, aiohttp.ClientSession() as session:
        served = Served(configuration(folder, targets, port=port), port)
        await served.start()
        try:
            yield served, Client(served.base_url, session), targets["elevate"]
        finally:
            if served.process is not None and served.process.returncode is None:
                served.process.kill()
                await served.process.wait()


def why_not_started(said: Said) -> str:
    """Return why a daemon did not start, by the one event that says so. It is its last word, and it did not stop what never ran."""
    told = [json.loads(line) for line in said.err.splitlines()]
    assert {"bridge.started", "bridge.stopping", "bridge.stopped"}.isdisjoint(line["event"] for line in told)
    (last,) = [line for line in told if line["level"] not in ("info", "warning")]
    assert (last, last["event"], last["level"]) == (told[-1], "bridge.not_started", "error")
    return last["why"]


async def test_verbs_work_beside_the_daemon(tmp_path) -> None:
    """A second run is refused; reading verbs answer; changing verbs go through the daemon and take effect there."""
    async with serving(tmp_path) as (served, client, lms):
        assert served.process is not None
        second = await command("run", "--config", served.config)
        assert (second.code, second.out) == (1, "")
        assert str(served.process.pid) in why_not_started(second)

        paused = await asked("pause", "elevate", "--why", "a look", "--json", "--config", served.config)
        assert (paused.code, paused.json) == (0, {"target": "elevate", "paused": True})
        _, ada = await client.register(**ADA)
        said = await command(
            "trace", ada["registration_id"], "--by", "registration", "--json", "--config", served.config
        )
        (purchase,) = said.json["purchases"]
        assert (purchase["state"], purchase["next"][0]["paused_why"]) == ("pending", "a look")
        assert live(lms) == []
        assert (await asked("resume", "elevate", "--config", served.config)).code == 0
        await until(lambda: len(live(lms)) == 1)

        refused = await asked("requeue", 4711, "--config", served.config)
        assert refused.code == 1
        assert "delivery 4711 is not a dead letter" in refused.err
        upgrade = await asked("db", "upgrade", "--config", served.config)
        assert upgrade.code == 1
        assert str(served.process.pid) in upgrade.err

        ended = await served.stop()
    assert (ended.code, ended.out) == (0, "")


async def test_a_requeued_letter_is_delivered_at_once(tmp_path) -> None:
    """The daemon's lane wakes on what the verb did."""
    async with serving(tmp_path) as (served, client, lms):
        lms.products = set()
        await client.register(**BOB)
        ledger = tmp_path / "bridge.db"
        await until(lambda: look(ledger, "SELECT count(*) FROM delivery WHERE state = 'dead'") == [(1,)])
        lms.products = None
        assert (await asked("requeue", "--all", "--config", served.config)).code == 0
        await until(lambda: len(live(lms)) == 1, seconds=3)
        assert (await served.stop()).code == 0


async def test_a_signal_drains(tmp_path) -> None:
    """What is in flight when SIGTERM comes is finished and written down; then the process ends with 0."""
    async with serving(tmp_path) as (served, client, lms):
        lms.now_fails("delay", seconds=0.7)
        await client.register(**ADA)
        await until(lambda: len(lms.journal) == 1)
        ended = await served.stop()
        assert (ended.code, ended.out) == (0, "")
        assert len(live(lms)) == 1
    assert look(tmp_path / "bridge.db", "SELECT state, outcome FROM delivery") == [("done", "receipt")]
    events = [json.loads(line)["event"] for line in ended.err.splitlines()]
    assert "config.warning" in events


async def test_a_second_signal_ends_it_at_once(tmp_path) -> None:
    """An operator who insists does not wait for a slow target; the delivery is still there for the next run."""
    async with serving(tmp_path) as (served, client, lms):
        lms.now_fails("delay", seconds=20)
        await client.register(**ADA)
        await until(lambda: len(lms.journal) == 1)
        served.signal(signal.SIGINT)
        await until(lambda: _refuses(served))  # two signals that come before the first is heard are one
        assert served.process is not None
        assert served.process.returncode is None
        served.signal(signal.SIGINT)
        assert (await asyncio.wait_for(served.ended(), 5)).code == 1
    assert look(tmp_path / "bridge.db", "SELECT state FROM delivery") == [("leased",)]


def _refuses(served: Served) -> bool:
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", int(served.base_url.rpartition(":")[2]))) != 0


@pytest.mark.parametrize("section", ["server", "admin"])
async def test_a_taken_address_is_said_plainly(tmp_path, section: str) -> None:
    """Exit code 1, the address and where to change it, no trace of the program's inside; the ledger is free again."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        if section == "server":
            config = configuration(tmp_path, {}, port=port)
        else:
            config = configuration(tmp_path, {}, extra=f"[admin]\nport = {port}\n")
        said = await command("run", "--no-uvloop", "--config", config)
    assert (said.code, said.out) == (1, "")
    why = why_not_started(said)
    assert why.startswith(f"can't listen on 127.0.0.1:{port}: Address already in use; stop what listens there")
    assert f"set another port in [{section}]" in why
    assert said.err.count("127.0.0.1") == 1


async def test_an_old_schema_can_be_refused(tmp_path) -> None:
    """--no-upgrade leaves the ledger as it is and names the verb that upgrades it."""
    config, ledger = configuration(tmp_path, {}, ledger=False), tmp_path / "bridge.db"
    ledger.touch()
    said = await command("run", "--no-upgrade", "--config", config)
    assert (said.code, said.out) == (1, "")
    assert "bridge db upgrade" in why_not_started(said)
    assert look(ledger, "SELECT name FROM sqlite_master") == []


async def test_a_bridge_that_is_told_to_stop_while_it_starts_did_not_start(tmp_path) -> None:
    """It waits for a database that does not answer; told to stop, it says that it did not start, and exits with 0."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        config = configuration(tmp_path, {}, ledger=False)
        address = f"postgresql://bridge@127.0.0.1:{silent.getsockname()[1]}/bridge"
        config.write_text(
            config.read_text().replace(f"sqlite:///{tmp_path}/bridge.db", address).replace('"warning"', '"info"')
        )
        served = Served(config, free_port())
        served.process = await started("run", "--config", config)
        connection, _ = await asyncio.to_thread(silent.accept)
        connection.close()
        ended = await served.stop()
    assert ended.code == 0, ended.err
    events = [json.loads(line)["event"] for line in ended.err.splitlines()]
    assert events[-1] == "bridge.not_started"
    assert "bridge.stopped" not in events
