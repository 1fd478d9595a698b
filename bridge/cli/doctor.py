"""``bridge doctor``: can each target be reached, are its credentials good, and is everything there that is mapped."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.console import Console

from bridge.cli import completing
from bridge.cli.given import CONFIG, AsJson, ConfigPath, settings_of
from bridge.cli.shown import show, show_json, table
from bridge.contract.mail import MAILER
from config.settings import Settings

OPENID = "admin.openid"  # as in bridge.app.doctor, which is the whole bridge

_COLUMNS = {"target": "target", "what": "what", "ok": "ok", "said": "what it said", "remedy": "remedy"}


def doctor(
    *,
    config: ConfigPath = CONFIG,
    fix: Annotated[bool, typer.Option("--fix", help="Make what is missing at a target and can be made.")] = False,
    only: Annotated[
        str | None, typer.Option("--target", help="Look at this target only.", autocompletion=completing.targets)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Ask every target whether it takes our credentials, has the rights, and knows what is mapped; nothing is changed without --fix."""
    settings = settings_of(config)
    names = [name for name, given in settings.targets.items() if given.enabled]
    if settings.mailer is not None and not settings.mailer.drop:
        names.append(MAILER)
    names = [name for name in names if only in (None, name)]
    if only is not None and not names:
        raise typer.BadParameter(f"no such target in use; there are {', '.join(settings.targets) or 'none'}")
    if settings.admin.openid is not None and only is None:
        names.append(OPENID)
    with Console(stderr=True).status(f"asking {', '.join(names)}"):
        rows = asyncio.run(_examined(settings, names, fix=fix))
    if as_json:
        show_json(rows)
    elif rows:
        show(table(_COLUMNS, list(_lines(rows)), whole=("target", "ok")))
    else:
        show("no target is in use")
    if not all(row["ok"] for row in rows):
        raise typer.Exit(1)


async def _examined(settings: Settings, names: Sequence[str], *, fix: bool) -> list[dict[str, Any]]:
    from bridge.app.doctor import examined  # noqa: PLC0415 - the whole bridge; no other verb should wait for it

    return list(await asyncio.gather(*(examined(settings, name, fix=fix) for name in names)))


def _lines(rows: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Yield a line for each target, and one for each thing that is wrong or was mended there."""
    for row in rows:
        findings = row["findings"]
        fine = sum(1 for one in findings if one["ok"])
        looked = f"; {fine} of {len(findings)} things are as they have to be" if findings else ""
        yield {**row, "what": row["connector"], "said": row["said"] + looked}
        yield from ({"target": "", **one} for one in findings if not one["ok"] or one["fixable"])
