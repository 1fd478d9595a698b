"""Every verb by its name, and the one place where an expected fault becomes a message and an exit code."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from bridge import __version__
from bridge.cli import (
    act,
    alerts,
    check,
    connectors,
    console,
    db,
    doctor,
    lists,
    people,
    purchases,
    rehearse,
    replaying,
    run,
    sandbox,
    seats,
    trace,
)
from bridge.cli.shown import complain
from bridge.contract.errors import BridgeError, ConfigError

BAD_DATA, BAD_USAGE = 1, 2


class Verbs(TyperGroup):
    """The root of all verbs: says an expected fault in words, never with a traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Run the verb."""
        try:
            return super().invoke(ctx)
        except ConfigError as fault:
            typer.echo(str(fault), err=True)  # as compilers do, so that editors find the line
            raise typer.Exit(BAD_USAGE) from None
        except BridgeError as fault:
            complain(str(fault))
            raise typer.Exit(BAD_DATA) from None


app = typer.Typer(
    cls=Verbs,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="A sale in one system becomes access in another. Exit codes: 0 done, 1 something is wrong with the data or a"
    " target, 2 bad usage or configuration.",
)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def bridge(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Take the options that come before the verb."""


@app.command()
def demo(
    *,
    once: Annotated[
        bool, typer.Option("--once", help="Run the story to its end and exit, instead of going on.")
    ] = False,
) -> None:
    """Show the bridge at work against emulated targets, on this machine alone."""
    from bridge.cli.demo import run_demo  # noqa: PLC0415 - it starts emulators; no other verb needs to know them

    raise typer.Exit(run_demo(once=once))


app.command("run")(run.run)
app.command("check")(check.check)
app.command("rehearse")(rehearse.rehearse)
app.command("sandbox")(sandbox.sandbox)
app.command("doctor")(doctor.doctor)
app.add_typer(lists.events, name="events")
app.add_typer(lists.registrations, name="registrations")
app.add_typer(lists.deliveries, name="deliveries")
app.add_typer(lists.quarantine, name="quarantine")
app.add_typer(alerts.alerts, name="alerts")
app.command("lookups")(lists.lookups)
app.command("learners")(people.learners)
app.command("trace")(trace.trace)
app.add_typer(seats.seats, name="seats")
app.command("requeue")(act.requeue)
app.command("retry")(act.retry)
app.command("dismiss")(act.dismiss)
app.command("release")(act.release)
app.command("pause")(act.pause)
app.command("resume")(act.resume)
app.command("replay")(replaying.replay)
app.command("cancel")(purchases.cancel)
app.command("move")(purchases.move)
app.command("merge")(people.merge)
app.command("reload")(act.reload)
app.add_typer(db.db, name="db")
app.add_typer(console.console, name="console")
app.command("connectors")(connectors.connectors)
