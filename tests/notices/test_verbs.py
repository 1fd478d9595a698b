"""What verbs say and do about notices: check, doctor, rehearse, deliveries, trace, pause; and what a reload does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bridge.app import Bridge
from bridge.app.reload import ReloadRefused
from bridge.contract.errors import ConfigError
from bridge.registry import Registry
from config.load import load
from tests.acceptance.cli_rig import ask, asked
from tests.acceptance.rig import AMS_KEY, configuration, emulators, running, until
from tests.notices.server import MailServer, mail_server
from tests.notices.test_notices import LMS, mailer, quiet, rows, sold, until_async


class TestCheck:
    async def test_mails_that_nobody_sends_are_said(self, tmp_path: Path) -> None:
        """A sender that may ask for a mail, and an LMS that sends none: check says that [mailer] is missing."""
        async with emulators(LMS) as targets:
            said = await asked("check", "--json", "--config", configuration(tmp_path, targets))
        assert "sources.ams" in [one["where"] for one in said.json["warnings"] if "[mailer]" in one["message"]]

    async def test_with_a_mailer_or_an_lms_that_writes_itself_nothing_is_missing(self, tmp_path: Path) -> None:
        """No warning where somebody sends them; the mail server is shown without its password."""
        async with emulators("elevate", LMS) as targets:
            own = configuration(tmp_path, {"elevate": targets["elevate"]})
            said = await asked("check", "--json", "--config", own)
            assert [one for one in said.json["warnings"] if "[mailer]" in one["message"]] == []
            server = MailServer(port=2525)
            config = configuration(
                tmp_path, {LMS: targets[LMS]}, extra=mailer(server, 'user = "u"', 'password = "hunter22"')
            )
            said = await asked("check", "--json", "--config", config)
        assert [one for one in said.json["warnings"] if "without [mailer]" in one["message"]] == []
        assert said.json["mailer"]["server"] == "smtp://127.0.0.1:2525"
        assert "hunter22" not in said.out

    async def test_a_faulty_template_is_said_with_its_line(self, tmp_path: Path) -> None:
        """The file is refused, and the message names the template's file and line."""
        (tmp_path / "texts").mkdir()
        (tmp_path / "texts" / "access.txt").write_text("Subject: Hi\n\n{{ nmae }}\n")
        async with emulators(LMS) as targets:
            config = configuration(tmp_path, targets, extra=mailer(MailServer(port=2525), 'templates = "texts"'))
            with pytest.raises(ConfigError) as caught:
                load(config, Registry(), env={})
        assert "mailer.templates: access.txt:3: 'nmae' is undefined" in str(caught.value)


async def test_a_sender_that_no_mail_can_come_from_is_a_fault_of_the_configuration(tmp_path: Path) -> None:
    """What only the mailer can tell of the sender's address is said at the start, in the operator's words."""
    async with emulators(LMS) as targets:
        text = mailer(MailServer(port=2525)).replace("courses@example.org", "a@under_score!.org")
        config = configuration(tmp_path, targets, extra=text)
        bridge = Bridge(load(config, Registry(), env={}).settings)
        with pytest.raises(ConfigError, match=r"mailer\.sender"):
            await bridge.start()
        await bridge.stop()


class TestDoctor:
    async def test_it_logs_in_and_sends_nothing(self, tmp_path: Path) -> None:
        """The mail server stands among the targets: well, or with what to do about it."""
        async with mail_server(login=("bridge", "hunter22")) as server, emulators(LMS) as targets:
            login = ('user = "bridge"', 'password = "hunter22"')
            config = configuration(tmp_path, targets, extra=mailer(server, *login))
            said = await asked("doctor", "--json", "--config", config)
            (row,) = [row for row in said.json if row["target"] == "mailer"]
            assert (row["ok"], row["said"]) == (True, "logged in, not encrypted")
            config.write_text(config.read_text().replace("hunter22", "hunter23"))
            said = await asked("doctor", "--json", "--target", "mailer", "--config", config)
            (row,) = said.json
            assert (said.code, row["ok"]) == (1, False)
            assert "[mailer]" in row["remedy"]
            assert "hunter23" not in said.out
            assert (server.taken, server.arrived) == ([], 0)


def test_a_rehearsal_shows_the_mail_and_sends_none(tmp_path: Path) -> None:
    """The notice stands among the deliveries with its text; no mail server is spoken to."""
    config = tmp_path / "bridge.toml"
    config.write_text(
        f"""
[ledger]
url = "sqlite:///{tmp_path}/real.db"
[mailer]
url = "smtp://127.0.0.1:9"
sender = "courses@example.org"
[sources.ams]
adapter = "elevate"
api_key = "{AMS_KEY}"
[targets.lms]
connector = "academy_of_mine"
base_url = "https://school.example.org"
api_key = "real-lms-key"
[courses.intro]
title = "Ethics"
lms = {{ course_id = 42 }}
[[products]]
source = "ams"
remote_product_id = "3"
courses = ["intro"]
"""
    )
    call = {
        "api_key": AMS_KEY,
        "remote_user_id": 7,
        "email": "ada@example.org",
        "firstname": "Ada",
        "lastname": "Lovelace",
        "remote_product_id": 3,
        "send_email": True,
    }
    (tmp_path / "recorded").write_text(json.dumps(call))
    said = ask("rehearse", tmp_path / "recorded", "--source", "ams", "--config", config, "--json")
    (notice,) = [delivery for delivery in said.json["deliveries"] if delivery["kind"] == "notice"]
    assert notice["state"] == "done"
    (exchange,) = notice["attempts"][0]["exchanges"]
    assert exchange["sent"]["subject"] == "You have access to Ethics"
    assert exchange["answer"] == "not sent"


async def test_lists_hide_the_recipient(tmp_path: Path) -> None:
    """Deliveries and traces show a notice; an address is masked unless it is to be revealed."""
    async with sold(tmp_path) as (bridge, client, server, _):
        _, answer = await client.register("ada")
        await client.cancel(answer["registration_id"], cancellations_email="boss@example.org")
        await until(lambda: server.taken)
        await quiet(bridge)
        config = tmp_path / "bridge.toml"
        listed = await asked("deliveries", "--target", "mailer", "--json", "--config", config)
        assert [row["kind"] for row in listed.json] == ["notice"]
        assert "boss@example.org" not in listed.out
        revealed = await asked("deliveries", "--target", "mailer", "--json", "--reveal", "--config", config)
        assert [row["recipient"] for row in revealed.json] == ["boss@example.org"]
        traced = await asked("trace", answer["registration_id"], "--config", config)
        assert "mailer: notice, receipt" in traced.out
        assert "boss@example.org" not in traced.out


class TestReload:
    async def test_a_new_text_is_taken_over(self, tmp_path: Path) -> None:
        """A changed template is in force after a reload, and a faulty one changes nothing."""
        texts = tmp_path / "texts"
        texts.mkdir()
        (texts / "access.txt").write_text("Subject: Old\n\nOld.\n")
        async with sold(tmp_path, 'templates = "texts"') as (bridge, client, server, _):

            def reread() -> Any:
                return load(tmp_path / "bridge.toml", Registry(), env={}).settings

            (texts / "access.txt").write_text("Subject: New\n\nNew.\n")
            await bridge.reload(reread())
            (texts / "access.txt").write_text("Subject: {{ nmae }}\n")
            with pytest.raises(ConfigError):
                reread()
            await client.register("ada", send_email=True)
            await until(lambda: server.taken)
            assert server.mails[0]["Subject"] == "New"

    async def test_a_mailer_with_open_notices_is_not_lost(self, tmp_path: Path) -> None:
        """Taking [mailer] out of the file is refused while mails are open; drop = true ends them unsent."""
        async with mail_server() as server, emulators(LMS) as targets:
            server.says = {"MAIL": "451 later"}
            async with running(tmp_path, targets, mailer(server)) as (bridge, client):
                await client.register("ada", send_email=True)
                await until_async(lambda: opened(bridge))
                without = bridge.settings.model_copy(update={"mailer": None})
                with pytest.raises(ReloadRefused, match="mailer"):
                    await bridge.reload(without)
                assert bridge.settings.mailer is not None
                dropped = bridge.settings.mailer.model_copy(update={"drop": True})
                await bridge.reload(bridge.settings.model_copy(update={"mailer": dropped}))
                found = await rows(bridge, "SELECT state, outcome FROM delivery WHERE target = 'mailer'")
                assert [(row.state, row.outcome) for row in found] == [("done", "dropped")]
                await client.register("eve", send_email=True)
                await quiet(bridge)
                assert len(await rows(bridge, "SELECT id FROM notice")) == 1
                await bridge.reload(without)


async def opened(bridge: Any) -> bool:
    return bool(await rows(bridge, "SELECT 1 FROM delivery WHERE target = 'mailer' AND state = 'open'"))
