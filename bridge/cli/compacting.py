"""``bridge db compact``: an SQLite ledger's file written anew, so that the disk gets back what holds nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from bridge.cli.given import CONFIG, AsJson, ConfigPath, DryRun, settings_of
from bridge.cli.reading import ledger_of
from bridge.cli.shown import complain, show, show_json
from bridge.ledger import hold
from bridge.ledger.compaction import Compacted, Compaction, expect_room

_POSTGRESQL = (
    "a PostgreSQL ledger needs no such thing: autovacuum makes room for new rows while bridges run. Only where most of a large"
    " table is gone for good and the disk is needed for something else: stop every bridge, run VACUUM FULL attempt (or event)"
    " in psql, which locks the table and writes it anew, and start them again"
)


def compact(*, config: ConfigPath = CONFIG, dry_run: DryRun = False, as_json: AsJson = False) -> None:
    """Write the file of an SQLite ledger anew, without what holds nothing, and say how much was freed. Stop the bridge first.

    The disk has to have about twice free what stays. Whatever cuts it off, a full disk too, the ledger is as it was.
    A PostgreSQL ledger is left alone: there it says what to do instead.
    """
    ledger = ledger_of(settings := settings_of(config))
    if ledger.file is None:
        if as_json:
            show_json({"compacted": False, "why": _POSTGRESQL})
        else:
            show(_POSTGRESQL)
        return
    work = Compaction(settings.ledger.url)
    if dry_run:
        _show_plan(work, as_json=as_json)
        return
    with _progress(quiet=as_json) as watch:
        done = work.run(watch)
    _show_done(done, as_json=as_json)


def _show_plan(work: Compaction, *, as_json: bool) -> None:
    size = work.look()
    if as_json:
        told = {"bytes": size.whole, "kept": size.kept, "needs": work.needs(size), "bridge": hold.holder(work.file)}
        show_json({"compacted": False, **told})
        return
    show(f"of {_mb(size.whole)}, some {_mb(size.kept)} would stay: {_mb(size.whole - size.kept)} would be freed")
    show(f"meanwhile some {_mb(work.needs(size))} have to be free in {work.file.parent}")
    if (process := hold.holder(work.file)) is not None:
        complain(f"a bridge runs on it, as process {process}: stop it first")
    expect_room(work.file.parent, work.needs(size))


def _show_done(done: Compacted, *, as_json: bool) -> None:
    freed = max(0, done.before - done.after)
    if as_json:
        told = {"before": done.before, "after": done.after, "freed": freed}
        show_json({"compacted": True, **told, "seconds": round(done.seconds, 3), "is_read": done.is_read})
        return
    if done.is_read:
        show(
            f"written anew in {done.seconds:.1f} s; another program reads it, and the file gets smaller when that has ended"
        )
        return
    show(
        f"{_mb(freed)} freed in {done.seconds:.1f} s: the ledger took {_mb(done.before)}, and takes {_mb(done.after)} now"
    )


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Callable[[], None]]:
    """Show on standard error for how long it has gone on, while somebody looks."""
    console = Console(stderr=True)
    columns = SpinnerColumn(), TextColumn("writing the ledger anew"), TimeElapsedColumn()
    with Progress(*columns, console=console, disable=quiet or not console.is_terminal) as bar:
        bar.add_task("", total=None)
        yield bar.refresh


def _mb(number: int) -> str:
    return f"{number / 1e6:,.1f} MB"
