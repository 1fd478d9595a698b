"""While bridges are upgraded one after the other, those of the previous version go on working on the new schema."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest

from bridge.app import Bridge
from bridge.ledger.engine import ledger_url, writing_engine
from bridge.ledger.migrate import alembic_config, current, newest
from bridge.registry import Registry
from config.load import load
from tests.acceptance.rig import Client, configuration, emulators, free_port, live, until
from tests.architecture.source import ROOT
from tests.ledger.cluster import Cluster


@pytest.fixture
def previous(tmp_path: Path) -> Path:
    """The source as it was before the newest migration, in a folder of its own."""
    folder = tmp_path / "previous"
    folder.mkdir()
    packed = tmp_path / "previous.tar"
    scripts = Path(alembic_config().get_main_option("script_location") or "") / "versions"
    (added,) = scripts.glob(f"{newest()}_*.py")
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("there is no history here to take the previous version from")
    # Along the main line: what branches numbered otherwise was never anybody's version.
    along = ("log", "-1", "--first-parent", "-m", "--format=%H", "--diff-filter=A")
    commit = _git(*along, "--", str(added.relative_to(ROOT)))
    if not commit or not _git("rev-parse", "--verify", "--quiet", f"{commit}^1"):
        pytest.skip("the history does not reach back to before the newest migration")
    _git("archive", f"--output={packed}", f"{commit}^1", "bridge", "config", "connectors")
    shutil.unpack_archive(packed, folder, filter="data")
    return folder


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()


async def test_the_previous_version_goes_on_beside_the_new_one(tmp_path, previous: Path, postgres: Cluster):
    """It runs, the schema is upgraded under it, and both take calls and deliver; each person is in once."""
    url = postgres.create("two_versions")
    async with emulators("elevate", "hubspot") as targets, aiohttp.ClientSession() as session:
        port = free_port()
        path = configuration(tmp_path, targets, port=port, ledger=False)
        path.write_text(path.read_text().replace(f"sqlite:///{tmp_path}/bridge.db", url))
        with (tmp_path / "previous.log").open("wb") as told:
            old = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "bridge", "run", "--config", str(path)),
                cwd=previous,
                stderr=told,
            )
        before = Client(f"http://127.0.0.1:{port}", session)
        try:
            await _answers(before)
            assert (await before.register("first"))[0] == 200
            assert _revision(url) not in (None, newest())
            new = Bridge(load(path, Registry(), env={}).settings.model_copy(deep=True))
            new.settings = new.settings.model_copy(
                update={"server": new.settings.server.model_copy(update={"port": 0})}
            )
            await new.start()
            after = Client(f"http://127.0.0.1:{new.port}", session)
            for number in range(10):
                status, body = await (before, after)[number % 2].register(f"u{number}")
                assert status == 200
                assert (await (after, before)[number % 2].register(f"u{number}"))[1] == body
            for target in targets.values():
                await until(lambda target=target: len(live(target)) == 11, 40)
            assert all(len(target.holdings()) == 11 for target in targets.values())
            await new.stop()
            assert (await before.register("last"))[0] == 200
            await until(lambda: len(live(targets["elevate"])) == 12, 30)
        finally:
            old.terminate()
            await old.wait()
        assert old.returncode == 0, (tmp_path / "previous.log").read_text()[-2000:]


def _revision(url: str) -> str | None:
    engine = writing_engine(ledger_url(url))
    with engine.connect() as connection:
        return current(connection)


async def _answers(client: Client) -> None:
    for _ in range(600):
        try:
            status, _ = await client.get("/healthz")
        except aiohttp.ClientError:
            await asyncio.sleep(0.05)
        else:
            assert status == 200
            return
    raise AssertionError("the previous version did not start")
