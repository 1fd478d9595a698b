"""``seats``: the links that an order line came with, who claimed them, and how to take one back or give it anew."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from bridge.cli.control import act
from bridge.cli.detail import NothingFound
from bridge.cli.given import CONFIG, AsJson, ConfigPath, DryRun, settings_of
from bridge.cli.reading import ask
from bridge.cli.shown import complain, show, show_json, table
from bridge.intake.seats import link
from bridge.ledger.seats import told
from config.settings import Settings

Registration = Annotated[
    int, typer.Argument(metavar="REGISTRATION", min=1, max=2**63 - 1, help="Id of the order line.")
]


class _ShowsByDefault(TyperGroup):
    """``bridge seats 17`` is ``bridge seats show 17``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the verb in where none stands."""
        if args and not {*self.commands, "--help", "-h"} & {*args}:
            args = ["show", *args]
        return super().parse_args(ctx, args)


seats = typer.Typer(
    cls=_ShowsByDefault,
    no_args_is_help=True,
    help="The links of an order line of several: `bridge seats REGISTRATION` lists them with who claimed them.",
)


@seats.command("show")
def show_seats(registration: Registration, *, config: ConfigPath = CONFIG, as_json: AsJson = False) -> None:
    """List the seats of an order line, with their links: whoever has one may claim it."""
    settings = settings_of(config)
    rows = [_row(settings, row) for row in ask(settings, lambda connection: told(connection, registration))]
    if as_json:
        show_json(rows)
        return
    if not rows:
        raise NothingFound(f"registration {registration} has no seats")
    for row in rows:
        who = f" by registration {row['claimed_registration_id']} ({row['claimed_state']})" if row["claimed_at"] else ""
        why = f" ({row['why']})" if row["why"] else ""
        show(f"seat {row['number']}: {row['state']}{who}{why}{'  ' + row['link'] if row['state'] == 'open' else ''}")
    if settings.server.public_url is None:
        complain("set [server] public_url: the links begin with it")


@seats.command()
def revoke(
    registration: Registration,
    *,
    config: ConfigPath = CONFIG,
    number: Annotated[
        list[int] | None, typer.Option("--number", "-N", help="This seat; may be given several times.")
    ] = None,
    every_open: Annotated[bool, typer.Option("--open", help="All that nobody has claimed.")] = False,
    renew: Annotated[bool, typer.Option("--renew", help="Give each a new link instead: its old one leaked.")] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Take seats back: their links are dead, and who claimed one loses the access that it gave."""
    if bool(number) is every_open:
        raise typer.BadParameter("say which: --number N, or --open")
    settings = settings_of(config)
    arguments = {
        "registration_id": registration,
        "numbers": number or [],
        "every_open": every_open,
        "renew": renew,
        "dry_run": dry_run,
    }
    done = [_revised(settings, row) for row in act(settings, "seats", arguments)]
    if as_json:
        show_json(done)
    else:
        _told(done, dry_run=dry_run)
    missing = [one for one in number or () if one not in {row["number"] for row in done}]
    for one in missing:
        complain(f"registration {registration} has no seat {one}")
    if missing or any(row["became"] == "unchanged" for row in done):
        raise typer.Exit(1)


def _told(done: list[dict[str, Any]], *, dry_run: bool) -> None:
    columns = {"number": "seat", "before": "was", "became": "becomes" if dry_run else "became", "note": "note"}
    if done:
        show(table(columns, done, whole=("number", "before", "became")), "")
    for row in done:
        if row["link"] is not None:
            show(f"seat {row['renewed_as']}: {row['link']}")
    changed = sum(row["became"] != "unchanged" for row in done)
    show(
        "nothing to revoke"
        if not changed
        else f"{changed} would change; nothing was changed"
        if dry_run
        else f"{changed} changed"
    )


def _row(settings: Settings, row: dict[str, Any]) -> dict[str, Any]:
    return {**{name: value for name, value in row.items() if name != "code"}, "link": _link(settings, row["code"])}


def _revised(settings: Settings, row: dict[str, Any]) -> dict[str, Any]:
    shown = {name: value for name, value in row.items() if name != "code"}
    return {**shown, "link": None if row["code"] is None else _link(settings, row["code"])}


def _link(settings: Settings, code: str) -> str:
    return link(settings.server.public_url or "", code)
