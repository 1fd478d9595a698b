"""``bridge alerts``: what is wrong now and was of late, and who was told of it; ``alerts test`` tries every channel."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from secrets import token_hex
from typing import Any

import typer

from bridge.cli.given import CONFIG, AsJson, ConfigPath, Limit, OwnConfigPath, Since, settings_of
from bridge.cli.reading import ask
from bridge.cli.shown import complain, plain, show, show_json, veil
from bridge.kit.clock import SystemClock, milliseconds
from bridge.ledger import reports
from config.settings import Settings

_RECENT = timedelta(days=7)

alerts = typer.Typer(
    invoke_without_command=True,
    help="What is wrong now, and what was in the last seven days. `test` sends a test through every channel.",
)


@alerts.callback()
def list_alerts(
    ctx: typer.Context,
    *,
    config: ConfigPath = CONFIG,
    since: Since = None,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """List alerts: those that are open first."""
    ctx.obj = config
    if ctx.invoked_subcommand is not None:
        return
    after = milliseconds(since if isinstance(since, datetime) else SystemClock().now() - _RECENT)
    rows = ask(settings_of(config), lambda connection: reports.alerts(connection, after, limit))
    if as_json:
        show_json(veil(rows))
    elif rows:
        for row in rows:
            _show(row)
    else:
        show("none")


def _show(row: Mapping[str, Any]) -> None:
    until = f" until {plain(row['recovered_at'])}" if row["recovered_at"] else ""
    show(f"{row['state']}: {row['kind']}, since {plain(row['first_seen'])}{until} (UTC)")
    show(f"  {plain(row['said'])}")
    if not row["recovered_at"] and row["remedy"]:
        show(f"  What to do: {plain(row['remedy'])}")
    for channel in row["channels"]:
        show(f"  {_told(channel)}")
    if not row["channels"]:
        show("  nobody was told")
    show("")


def _told(channel: Mapping[str, Any]) -> str:
    told = f"told {plain(channel['told_at'])}" if channel["told_at"] else "not told"
    failing = f"; {channel['tries']} tries in vain: {plain(channel['why'])}" if channel["tries"] else ""
    return f"{channel['channel']}: {told}{failing}"


@alerts.command("test")
def try_channels(
    ctx: typer.Context,
    *,
    config: OwnConfigPath = None,
    as_json: AsJson = False,
) -> None:
    """Send a test through every channel of [alerts], and say what each answered. The ledger is not touched."""
    settings = settings_of(config or ctx.obj)
    answers = asyncio.run(_tested(settings))
    if as_json:
        show_json([{"channel": name, "ok": why is None, "why": why} for name, why in answers])
    elif not answers:
        complain("[alerts] names no channel: give it mail, slack or webhook")
    else:
        for name, why in answers:
            show(f"{name}: {'it took the test' if why is None else why}")
    if not answers or any(why is not None for _, why in answers):
        raise typer.Exit(1)


async def _tested(settings: Settings) -> Sequence[tuple[str, str | None]]:
    from bridge.app.alerting import channels_of  # noqa: PLC0415 - the whole bridge; listing alerts should not wait for it
    from bridge.jobs.alerts.channels import tell  # noqa: PLC0415 - as above
    from bridge.jobs.alerts.telling import News  # noqa: PLC0415 - as above
    from bridge.kit.http import open_session  # noqa: PLC0415 - as above

    clock = SystemClock()
    said = "This is a test of the registration bridge's alerts. If you can read it, this channel works."
    news = [News(f"{token_hex(8)}-test-1", 0, "test", "test", said, since=clock.now())]
    async with open_session() as session:
        channels = channels_of(settings, session, clock)
        answers = await asyncio.gather(*(tell(channel, news) for channel in channels))
    return [(channel.name, answer[0]) for channel, answer in zip(channels, answers, strict=True)]
