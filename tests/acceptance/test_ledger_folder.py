"""The folder of an SQLite ledger that is not there: said beforehand, logged when it is made, and what to do where it can't be."""

from __future__ import annotations

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from bridge.app import Bridge
from bridge.contract.errors import LedgerError
from bridge.registry import Registry
from config.load import load
from tests.acceptance.cli_rig import ask
from tests.acceptance.rig import configuration


def _config(folder: Path, *below: str) -> tuple[Path, Path]:
    """Write a configuration whose ledger is in a folder below; return its path, and that folder."""
    config, there = configuration(folder, {}, ledger=False), folder.joinpath(*below)
    config.write_text(config.read_text().replace(f"sqlite:///{folder}/bridge.db", f"sqlite:///{there}/bridge.db"))
    return config, there


def test_check_says_that_a_folder_will_be_created(tmp_path) -> None:
    """And creates nothing. Of a folder that is there it says nothing."""
    config, there = _config(tmp_path, "var", "deeper")
    said = ask("check", "--config", config)
    note = f"note: the ledger's folder {there} does not exist; it will be created ([ledger] url)"
    assert (said.code, note in said.out.splitlines()) == (0, True)
    assert len(ask("check", "--json", "--config", config).json["notes"]) == 1
    assert not (tmp_path / "var").exists()
    there.mkdir(parents=True)
    assert ask("check", "--json", "--config", config).json["notes"] == []


def test_check_warns_of_a_folder_that_can_not_be_created(tmp_path) -> None:
    """With the key, and what to do; it is no note."""
    (tmp_path / "var").write_text("a file")
    config, there = _config(tmp_path, "var", "deeper")
    said = ask("check", "--config", config)
    assert said.code == 0
    assert f"ledger.url: its folder {there} can't be made: Not a directory; make it, or set another path" in said.err
    assert "will be created" not in said.out


async def test_a_bridge_that_creates_the_folder_says_so(tmp_path) -> None:
    """Once: a disk that is not mounted looks like that. The next start finds it there."""
    config, there = _config(tmp_path, "var", "deeper")
    for said in ([str(there)], []):
        bridge = Bridge(load(config, Registry(), env={}).settings)
        with capture_logs() as logs:
            await bridge.start()
            await bridge.stop()
        assert [line["folder"] for line in logs if line["event"] == "ledger.folder_made"] == said


async def test_a_folder_that_can_not_be_created_is_told_with_its_key(tmp_path) -> None:
    """Instead of a bare word of the system."""
    (tmp_path / "var").write_text("a file")
    config, there = _config(tmp_path, "var", "deeper")
    bridge = Bridge(load(config, Registry(), env={}).settings)
    with pytest.raises(LedgerError) as fault:
        await bridge.start()
    await bridge.stop()
    assert str(fault.value) == (
        f"the ledger can't be opened: its folder {there} can't be made: Not a directory; make it, or set another path in [ledger] url"
    )


def test_an_upgrade_that_creates_the_folder_says_so(tmp_path) -> None:
    """The verb that makes a ledger makes its folder too."""
    config, there = _config(tmp_path, "var")
    said = ask("db", "upgrade", "--config", config)
    assert (said.code, said.out.splitlines()[0]) == (0, f"the ledger's folder {there} was created")
    assert (there / "bridge.db").is_file()
