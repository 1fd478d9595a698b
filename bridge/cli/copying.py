"""``bridge db copy``: a ledger taken to another database."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from bridge.cli.given import AsJson, DryRun
from bridge.cli.shown import complain, show, show_json, table
from bridge.contract.errors import LedgerError
from bridge.ledger.copies import Copied, Copy, Plan, Watch

_LOOK_ONLY = "bridges run on the source: the copy is for looking at. Were a bridge to run on it too, both would deliver"


def copy(
    source: Annotated[
        str, typer.Argument(help="The ledger to read: sqlite:///path or postgresql://user@host/database.")
    ],
    destination: Annotated[str, typer.Argument(help="An empty database, or an SQLite file that is not there yet.")],
    *,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a copy that was cut off.")] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Copy a whole ledger to another database, read it back, and compare. Stop the bridge first.

    No bridge starts on the destination until the copy is whole. A password stands in PGPASSFILE or PGPASSWORD rather than
    in the address, where every user of the machine could read it.
    """
    try:
        asked = Copy(source, destination)
    except ValueError as fault:
        raise typer.BadParameter(str(fault)) from None
    plan = asked.look(resume=resume)
    if plan.bridges:
        complain(_LOOK_ONLY)
    if dry_run:
        _show_plan(plan, as_json=as_json)
        return
    try:
        with _progress(plan.rows, quiet=as_json) as watch:
            done = asked.run(resume=resume, watch=watch)
    except KeyboardInterrupt:
        raise LedgerError("the copy was cut off; go on with --resume") from None
    _show_done(done, as_json=as_json)


@contextmanager
def _progress(rows: Mapping[str, int], *, quiet: bool) -> Iterator[Watch]:
    """Show a bar on standard error while somebody looks."""
    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, disable=quiet or not console.is_terminal) as bar:
        task = bar.add_task("", total=sum(rows.values()))
        done = dict.fromkeys(rows, 0)

        def watch(name: str, number: int) -> None:
            done[name] = number
            bar.update(task, description=name, completed=sum(done.values()))

        yield watch


def _show_plan(plan: Plan, *, as_json: bool) -> None:
    if as_json:
        show_json({"rows": plan.rows, "resumes": plan.unfinished, "bridges_on_source": plan.bridges})
        return
    show(table({"name": "table", "rows": "rows"}, [{"name": name, "rows": rows} for name, rows in plan.rows.items()]))
    show(
        f"{sum(plan.rows.values())} rows would be copied"
        + (", as far as they are not there" if plan.unfinished else "")
    )


def _show_done(done: Copied, *, as_json: bool) -> None:
    tables = [{"name": name, "rows": found.rows, "digest": found.digest} for name, found in done.tables.items()]
    if as_json:
        show_json({"tables": tables, "begun_again": done.again})
        return
    show(table({"name": "table", "rows": "rows", "digest": "digest"}, tables, whole=("name", "rows", "digest")))
    if done.again:
        show("the source had changed since the copy was cut off: it was copied anew")
    show(f"{sum(found.rows for found in done.tables.values())} rows copied, read back, and the same")
