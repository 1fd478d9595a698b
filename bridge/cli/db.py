"""``bridge db``: the ledger's schema, copies of the ledger, what of it is old, and its file."""

from __future__ import annotations

import asyncio

import typer

from bridge.cli import compacting, copying, retention
from bridge.cli.given import CONFIG, AsJson, ConfigPath, settings_of
from bridge.cli.reading import ledger_of
from bridge.cli.shown import show, show_json
from bridge.ledger import reports
from bridge.ledger.store import Ledger

db = typer.Typer(no_args_is_help=True, help="The ledger as a whole: its schema, copies of it, what of it is old.")

db.command("copy")(copying.copy)
db.command("retention")(retention.retention)
db.command("compact")(compacting.compact)


@db.command()
def upgrade(*, config: ConfigPath = CONFIG, as_json: AsJson = False) -> None:
    """Make the ledger, or bring its schema up to date. `bridge run` does the same when it starts."""
    settings = settings_of(config)
    ledger = ledger_of(settings, must_exist=False)
    before, after = asyncio.run(_upgrade(ledger))
    if as_json:
        show_json({"before": before, "after": after})
        return
    if ledger.made_folder is not None:
        show(f"the ledger's folder {ledger.made_folder} was created")
    if before == after:
        show(f"the ledger's schema is {after}: nothing to do")
    else:
        show(f"the ledger's schema is {after} now; before it was {before or 'empty'}")


async def _upgrade(ledger: Ledger) -> tuple[str | None, str]:
    existed = ledger.file is None or ledger.file.exists()
    before = (await ledger.read(reports.revisions))[0] if existed else None
    await ledger.open(upgrade_schema=True)
    try:
        return before, (await ledger.read(reports.revisions))[1]
    finally:
        await ledger.close()


@db.command("check")
def look(*, config: ConfigPath = CONFIG, as_json: AsJson = False) -> None:
    """Say which revision the ledger's schema has and which one this program needs; exit code 1 when they differ."""
    now, needed = asyncio.run(_look(ledger_of(settings_of(config))))
    if as_json:
        show_json({"now": now, "needed": needed, "ok": now == needed})
    else:
        show(f"the ledger's schema is {now or 'empty'}, this program needs {needed}")
    if now != needed:
        raise typer.Exit(1)


async def _look(ledger: Ledger) -> tuple[str | None, str]:
    try:
        return await ledger.read(reports.revisions)
    finally:
        await ledger.close()
