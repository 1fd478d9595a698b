"""``check``, ``doctor``, ``db`` and ``connectors``: what can be said before anything runs."""

from __future__ import annotations

import aiohttp
import pytest

from bridge import __version__
from bridge.app import Bridge
from bridge.app.policies import request_timeout
from bridge.registry import Registry
from config.load import load
from tests.acceptance.cli_rig import ask, asked, command, past
from tests.acceptance.rig import Client, configuration, emulators, live, until

BAD = """
[server]
prot = 8080

[sources.ams]
adapter = "elevat"

[targets.lms]
connector = "elevate"
base_url = "not an address"
api_key = "${ABSENT_FROM_THE_ENVIRONMENT}"

[[products]]
source = "ams"
remote_product_id = "A"
courses = ["nowhere"]
"""


@pytest.fixture
def bad(tmp_path):
    config = tmp_path / "bridge.toml"
    config.write_text(BAD)
    return config


def test_every_fault_of_a_configuration_is_said_at_once(bad) -> None:
    """Exit code 2, and one line a fault with file, line and key; nothing on standard output."""
    said = ask("check", "--config", bad)
    assert (said.code, said.out) == (2, "")
    lines = said.err.splitlines()
    for number, key in (
        (3, "server.prot"),
        (6, "sources.ams.adapter"),
        (11, "targets.lms.api_key"),
        (16, "products[0]"),
    ):
        assert [line for line in lines if line.startswith(f"{bad}:{number}: {key}")], key


def test_faults_are_told_as_json_too(bad) -> None:
    """An editor or a pipeline gets the same faults with their lines, and the same exit code."""
    said = ask("check", "--config", bad, "--json")
    assert said.code == 2
    assert said.json["ok"] is False
    assert {fault["line"] for fault in said.json["faults"]} >= {3, 6, 11, 16}


async def test_the_daemon_does_not_start_on_a_bad_configuration(bad) -> None:
    """`run` says the same faults and exits with 2."""
    said = await command("run", "--config", bad)
    assert (said.code, said.out) == (2, "")
    assert "server.prot" in said.err
    assert "targets.lms.api_key" in said.err
    assert "Traceback" not in said.err


def test_a_missing_file_is_a_fault_of_the_configuration(tmp_path) -> None:
    """Every verb says so in the same way."""
    for verb in ("check", "events", "doctor", "requeue --all"):
        said = ask(*verb.split(), "--config", tmp_path / "absent.toml")
        assert (said.code, said.out) == (2, "")
        assert "absent.toml: file: does not exist" in said.err


def test_check_shows_what_to_give_to_senders(tmp_path) -> None:
    """The addresses of a source stand beside its name; a ledger that is not made yet is no fault."""
    said = ask("check", "--config", configuration(tmp_path, {}, ledger=False))
    assert said.code == 0
    assert "ok" in said.out.splitlines()[0]
    for address in ("POST /api/registrations", "POST /in/ams", "/customapi.php", "/in/checkout"):
        assert address in said.out
    assert "not made yet" in said.out
    assert "a secret in clear text" in said.err
    assert max(len(line) for line in said.out.splitlines()[1:]) <= 80
    assert not list(tmp_path.glob("*.db*"))


def test_check_warns_of_an_end_that_is_over(tmp_path) -> None:
    """Who buys now would be in for good, and nobody would notice."""
    config = configuration(tmp_path, {}, extra="\n[courses.old]\naccess = { until = 2020-06-30 }\n")
    said = ask("check", "--config", config)
    assert said.code == 0
    assert "courses.old.access.until: the day is over: who buys now gets in without this end" in said.err


def test_check_lists_products_that_wait_for_a_mapping(tmp_path) -> None:
    """The unmapped product, its source, how many and since when; and whether it is mapped by now."""
    known = past(tmp_path)
    (found,) = ask("check", "--config", known.config, "--json").json["unmapped"]
    assert (found["source"], found["remote_product_id"], found["waiting"]) == ("ams", "UNMAPPED-9", 1)
    assert found["mapped_now"] is False
    assert "UNMAPPED-9" in ask("check", "--config", known.config).out
    product = '\n[[products]]\nsource = "ams"\nremote_product_id = "UNMAPPED-9"\ncourses = ["ethics"]\n'
    mapped = configuration(tmp_path, known.targets, extra=product)
    assert ask("check", "--config", mapped, "--json").json["unmapped"][0]["mapped_now"] is True


async def test_doctor_tells_the_well_from_the_sick(tmp_path) -> None:
    """A target that takes our credentials is ok; a wrong key and a closed port are told with a remedy, exit code 1."""
    async with emulators("elevate", "hubspot") as targets:
        config = configuration(tmp_path, targets)
        well = await asked("doctor", "--config", config, "--json")
        assert well.code == 0
        assert [(row["target"], row["ok"]) for row in well.json] == [("elevate", True), ("hubspot", True)]
        config.write_text(config.read_text().replace(targets["elevate"].credentials["api_key"], "wrong"))
        await targets["hubspot"].stop()
        sick = await asked("doctor", "--config", config, "--json")
    assert sick.code == 1
    assert [(row["target"], row["ok"]) for row in sick.json] == [("elevate", False), ("hubspot", False)]
    assert all(row["said"] and row["remedy"] for row in sick.json)
    assert "Traceback" not in sick.err


def test_the_ledger_is_made_and_looked_at(tmp_path) -> None:
    """`db upgrade` makes it, a second one has nothing to do, `db check` says the revisions."""
    config = configuration(tmp_path, {}, ledger=False)
    made = ask("db", "upgrade", "--config", config, "--json")
    assert made.code == 0
    assert made.json["before"] is None
    again = ask("db", "upgrade", "--config", config)
    assert again.code == 0
    assert "nothing to do" in again.out
    looked = ask("db", "check", "--config", config, "--json")
    assert looked.code == 0
    assert looked.json == {"now": made.json["after"], "needed": made.json["after"], "ok": True}


def test_a_ledger_without_a_schema_is_no_empty_list(tmp_path) -> None:
    """A file that is no ledger yet is told as such."""
    config = configuration(tmp_path, {}, ledger=False)
    (tmp_path / "bridge.db").touch()
    said = ask("events", "--config", config)
    assert (said.code, said.out) == (1, "")
    assert "bridge db upgrade" in said.err
    assert ask("db", "check", "--config", config).code == 1


def test_connectors_are_listed() -> None:
    """Adapters and connectors by type, and which can be emulated."""
    rows = ask("connectors", "--json").json
    assert {"direction", "name", "said", "emulator"} == set(rows[0])
    assert {("inbound", "elevate"), ("outbound", "hubspot")} <= {(row["direction"], row["name"]) for row in rows}
    assert "hubspot" in ask("connectors").out


def test_every_verb_has_help_and_the_bridge_a_version() -> None:
    """The verbs that operators know are there, each with a word of help."""
    verbs = "run check doctor demo events registrations deliveries quarantine trace requeue release pause resume db connectors"
    overview = ask("--help").out
    for verb in verbs.split():
        assert f" {verb} " in overview
        assert ask(verb, "--help").code == 0
    assert ask("--version").out.strip() == __version__
    assert ask("nonsense").code == 2


async def test_a_request_takes_as_long_as_dispatch_says_unless_the_target_says_otherwise(tmp_path) -> None:
    """`[dispatch] request_timeout` is every target's, `timeout` one target's own; the daemon's lanes keep to it as well."""
    async with emulators("elevate", "hubspot") as targets:
        config = configuration(tmp_path, targets)
        text = config.read_text().replace("[dispatch]", '[dispatch]\nrequest_timeout = "500ms"')
        config.write_text(text.replace('connector = "hubspot"', 'connector = "hubspot"\ntimeout = "20s"'))
        for target in targets.values():
            target.now_fails("delay", seconds=2.0, times=1)
        rows = (await asked("doctor", "--config", config, "--json")).json
        assert [(row["target"], row["ok"]) for row in rows] == [("elevate", False), ("hubspot", True)]
        assert "time limit" in rows[0]["said"]
        settings = load(config, Registry(), env={}).settings
        assert [request_timeout(settings, name) for name in targets] == [0.5, 20.0]
        targets["elevate"].now_fails("delay", seconds=20.0, times=1)
        bridge = Bridge(settings)
        await bridge.start()
        try:
            async with aiohttp.ClientSession() as session:
                await Client(f"http://127.0.0.1:{bridge.port}", session).register()
            await until(lambda: live(targets["elevate"]), seconds=9)  # by the next try; ten seconds were the default
        finally:
            await bridge.stop()
