"""``events``, ``registrations``, ``deliveries``, ``quarantine``: each lists, and shows one with ``show ID``; ``lookups``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from bridge.cli import causes, detail
from bridge.cli.given import (
    CONFIG,
    AsJson,
    ConfigPath,
    Limit,
    OfProduct,
    OfSource,
    OfTarget,
    OwnConfigPath,
    Reveal,
    Since,
    expect_names,
    settings_of,
)
from bridge.cli.reading import ask
from bridge.cli.shown import show, show_json, table, veil
from bridge.cli.trace import tell
from bridge.edge.masked import body_of
from bridge.ledger import reports
from bridge.ledger.reports import Filter
from bridge.ledger.states import State

EventState = Literal["accepted", "refused", "unreadable", "ignored"]
DeliveryState = Literal["waiting", "open", "blocked", "leased", "dead", "done"]
LookupState = Literal["open", "dead", "done"]
QuarantineState = Literal["waiting", "released", "superseded", "all"]

_NO_ID = 2**63
_LIST_HELP = "Without a command: list them, newest first. `show ID` tells one in full."
_WHOLE = (
    "event_id",
    "registration_id",
    "delivery_id",
    "quarantine_id",
    "lookup_id",
    "received_at",
    "created_at",
    "updated_at",
    "due_at",
    "state",
    "tried",
    "source",
    "target",
    "kind",
    "remote_product_id",
    "event_key",
    "order_number",
    "person",
    "email",
)

events = typer.Typer(invoke_without_command=True, help=f"What sources sent. {_LIST_HELP}")
registrations = typer.Typer(invoke_without_command=True, help=f"Order lines: a learner and a product. {_LIST_HELP}")
deliveries = typer.Typer(invoke_without_command=True, help=f"Work for targets, done and open. {_LIST_HELP}")
quarantine = typer.Typer(
    invoke_without_command=True,
    help=f"Lines of unmapped products, events nobody could read, refunds that wait for their purchase. {_LIST_HELP}",
)


def _list(
    path: Path,
    question: Callable[[Any, Filter], list[dict[str, Any]]],
    wanted: Filter,
    columns: Mapping[str, str],
    *,
    as_json: bool,
    reveal: bool,
    said: Callable[[Mapping[str, Any]], Mapping[str, Any]] = lambda row: row,
) -> None:
    """Ask, and show what was found; a table has each row as it is ``said``."""
    settings = settings_of(path)
    rows = veil(ask(settings, lambda connection: question(connection, wanted)), reveal=reveal)
    if not rows:
        expect_names(settings, source=wanted.source, target=wanted.target)
    if as_json:
        show_json(rows)
    elif rows:
        show(table(columns, [said(row) for row in rows], whole=_WHOLE))
    else:
        show("none")


@events.callback()
def list_events(
    ctx: typer.Context,
    *,
    config: ConfigPath = CONFIG,
    source: OfSource = None,
    state: Annotated[EventState | None, typer.Option("--state", help="In this state.")] = None,
    since: Since = None,
    limit: Limit = 50,
    as_json: AsJson = False,
    reveal: Reveal = False,
) -> None:
    """List events."""
    ctx.obj = config
    if ctx.invoked_subcommand is None:
        columns = {
            "event_id": "event",
            "received_at": "received (UTC)",
            "source": "source",
            "state": "state",
            "event_key": "key",
            "note": "note",
        }
        wanted = Filter(limit, source=source, state=state, since=since)
        _list(config, reports.events, wanted, columns, as_json=as_json, reveal=reveal)


@registrations.callback()
def list_registrations(  # noqa: PLR0913 - a parameter an option
    ctx: typer.Context,
    *,
    config: ConfigPath = CONFIG,
    source: OfSource = None,
    state: Annotated[State | None, typer.Option("--state", help="In this state.")] = None,
    product: OfProduct = None,
    learner: Annotated[str | None, typer.Option("--learner", "-l", help="E-mail address or remote user id.")] = None,
    since: Since = None,
    limit: Limit = 50,
    as_json: AsJson = False,
    reveal: Reveal = False,
) -> None:
    """List registrations."""
    ctx.obj = config
    if ctx.invoked_subcommand is None:
        columns = {
            "registration_id": "id",
            "created_at": "created (UTC)",
            "state": "state",
            "source": "source",
            "remote_product_id": "product",
            "email": "learner",
            "order_number": "order",
        }
        wanted = Filter(limit, source=source, state=state, product=product, learner=learner, since=since)
        _list(config, reports.registrations, wanted, columns, as_json=as_json, reveal=reveal, said=_marked)


def _marked(row: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**row, "state": f"{row['state']}, never mapped"} if row["never_mapped"] else row


@deliveries.callback()
def list_deliveries(
    ctx: typer.Context,
    *,
    config: ConfigPath = CONFIG,
    target: OfTarget = None,
    state: Annotated[DeliveryState | None, typer.Option("--state", help="In this state; `dead`: dead letters.")] = None,
    since: Since = None,
    limit: Limit = 50,
    as_json: AsJson = False,
    reveal: Reveal = False,
) -> None:
    """List deliveries."""
    ctx.obj = config
    if ctx.invoked_subcommand is None:
        columns = {
            "delivery_id": "id",
            "target": "target",
            "kind": "kind",
            "state": "state",
            "registration_id": "reg.",
            "tried": "tried",
            "due_at": "due (UTC)",
            "why": "why",
        }
        wanted = Filter(limit, target=target, state=state, since=since)
        _list(config, reports.deliveries, wanted, columns, as_json=as_json, reveal=reveal)


def lookups(
    *,
    config: ConfigPath = CONFIG,
    source: OfSource = None,
    state: Annotated[LookupState | None, typer.Option("--state", help="In this state; `dead`: given up.")] = None,
    since: Since = None,
    limit: Limit = 50,
    as_json: AsJson = False,
    reveal: Reveal = False,
) -> None:
    """List what senders are asked about their thin events, newest first; `events show ID` tells of one event's."""
    columns = {
        "lookup_id": "id",
        "source": "source",
        "kind": "kind",
        "key": "key",
        "state": "state",
        "event_id": "event",
        "tried": "tried",
        "due_at": "due (UTC)",
        "why": "why",
    }
    wanted = Filter(limit, source=source, state=state, since=since)
    _list(config, reports.lookups, wanted, columns, as_json=as_json, reveal=reveal)


@quarantine.callback()
def list_quarantine(  # noqa: PLR0913 - a parameter an option
    ctx: typer.Context,
    *,
    config: ConfigPath = CONFIG,
    source: OfSource = None,
    product: OfProduct = None,
    state: Annotated[QuarantineState, typer.Option("--state", help="What has become of it.")] = "waiting",
    by_cause: Annotated[
        bool, typer.Option("--causes", help="Count what waits by its cause, and say what to do about each.")
    ] = False,
    since: Since = None,
    limit: Limit = 50,
    as_json: AsJson = False,
    reveal: Reveal = False,
) -> None:
    """List what waits in quarantine."""
    ctx.obj = config
    if ctx.invoked_subcommand is None and by_cause:
        causes.tell(config, source, as_json=as_json)
    elif ctx.invoked_subcommand is None:
        columns = {
            "quarantine_id": "id",
            "updated_at": "last seen (UTC)",
            "source": "source",
            "kind": "kind",
            "remote_product_id": "product",
            "person": "learner",
            "state": "state",
            "note": "note",
        }
        of_state = None if state == "all" else state
        wanted = Filter(limit, source=source, product=product, state=of_state, since=since)
        _list(config, reports.quarantine, wanted, columns, as_json=as_json, reveal=reveal)


@events.command("show")
def show_event(
    ctx: typer.Context,
    event_id: Annotated[int, typer.Argument(metavar="ID", help="Its number, as the list shows it.")],
    *,
    config: OwnConfigPath = None,
    as_json: AsJson = False,
    reveal: Reveal = False,
) -> None:
    """Show one event: what was sent (credentials blank), and what it did."""
    found = _one(config or ctx.obj, "event", event_id, reports.event)
    found = veil({**found, "body": body_of(found, reveal=reveal)}, reveal=reveal)
    if as_json:
        show_json(found)
    else:
        show(*detail.event(found))


@registrations.command("show")
def show_registration(
    ctx: typer.Context,
    registration_id: Annotated[int, typer.Argument(metavar="ID", help="Its number, as the list shows it.")],
    *,
    config: OwnConfigPath = None,
    as_json: AsJson = False,
    reveal: Reveal = False,
) -> None:
    """Show one registration's whole story; the same as `bridge trace ID --by registration`."""
    tell(config or ctx.obj, str(registration_id), "registration", as_json=as_json, reveal=reveal)


@deliveries.command("show")
def show_delivery(
    ctx: typer.Context,
    delivery_id: Annotated[int, typer.Argument(metavar="ID", help="Its number, as the list shows it.")],
    *,
    config: OwnConfigPath = None,
    as_json: AsJson = False,
    reveal: Reveal = False,
) -> None:
    """Show one delivery: every attempt with what was sent and what came back, masked."""
    found = veil(_one(config or ctx.obj, "delivery", delivery_id, reports.delivery), reveal=reveal)
    if as_json:
        show_json(found)
    else:
        show(*detail.delivery(found))


@quarantine.command("show")
def show_quarantined(
    ctx: typer.Context,
    quarantine_id: Annotated[int, typer.Argument(metavar="ID", help="Its number, as the list shows it.")],
    *,
    config: OwnConfigPath = None,
    as_json: AsJson = False,
    reveal: Reveal = False,
) -> None:
    """Show one quarantined line with the command that waits."""
    found = veil(_one(config or ctx.obj, "quarantined line", quarantine_id, reports.quarantined), reveal=reveal)
    if as_json:
        show_json(found)
    else:
        show(*detail.quarantined(found))


def _one(path: Path, kind: str, number: int, question: Callable[[Any, int], dict[str, Any] | None]) -> dict[str, Any]:
    found = ask(settings_of(path), lambda connection: question(connection, number)) if number < _NO_ID else None
    if found is None:
        raise detail.NothingFound(f"there is no {kind} {number}")
    return found
