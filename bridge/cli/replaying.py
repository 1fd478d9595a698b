"""``replay``: however many events, part by part, with a bar while somebody looks and there is more than one part."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from bridge.actions.events import MOST_EVENTS
from bridge.cli.control import act
from bridge.cli.given import CONFIG, AsJson, ConfigPath, DryRun, Ids, OfSource, settings_of
from bridge.cli.reading import ask
from bridge.cli.shown import show, show_json
from bridge.cli.told import Alike, AllLines, count, missing, some, stop_at, tell
from bridge.ledger import replays
from config.settings import Settings

_ALIKE: Final = Alike(
    ("source", "became", "what", "note"),
    {"source": "source", "became": "becomes", "what": "what changes", "note": "note"},
)
_COLUMNS: Final = {"event_id": "event", **_ALIKE.columns}


def replay(
    ids: Ids = None,
    *,
    config: ConfigPath = CONFIG,
    source: OfSource = None,
    state: Annotated[
        str | None, typer.Option("--state", help="With --source: all of its events in this state.")
    ] = None,
    dry_run: DryRun = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do it without being asked again.")] = False,
    all_lines: AllLines = False,
    as_json: AsJson = False,
) -> None:
    """Understand events anew from their stored bytes, by today's adapters and mapping. What would come of it is shown first."""
    if not ids and not (source and state):
        raise typer.BadParameter("say which: event ids, or --source NAME with --state STATE")
    if as_json and not (dry_run or yes):
        raise typer.BadParameter("--json asks nobody: say --dry-run or --yes")
    settings = settings_of(config)
    arguments = {"ids": ids or [], "source": source, "state": state}
    done = [] if yes and not dry_run else _replayed(settings, arguments, dry_run=True, quiet=as_json)
    if not as_json and done:
        tell(_rows(done), _COLUMNS, _ALIKE, all_lines=all_lines)
    if not dry_run and (yes or any(row["became"] == "replayed" for row in done)):
        changing = sum(row["became"] == "replayed" for row in done)
        if not yes and not typer.confirm(f"replay {some(changing, 'event')}?"):
            raise typer.Exit(1)
        done = _replayed(settings, arguments, dry_run=False, quiet=as_json)
    _say(done, dry_run=dry_run, as_json=as_json)
    stop_at(missing(ids, done, "event_id"), "there is no event {}" + (f" of source {source}" if source else ""))
    stop_at([row["event_id"] for row in done if row["became"] == "impossible"], "event {} can't be replayed")


def _rows(done: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [{**row, "what": "; ".join(_changes(row)) or "nothing"} for row in done]


def _changes(row: Mapping[str, Any]) -> Iterator[str]:
    for one in row["effects"]:
        before = f"{one['before']}, now " if one["before"] else ""
        yield f"registration {one['registration_id']} ({one['remote_product_id']}): {before}{one['after']}"
    if row["opened"]:
        yield f"work for {', '.join(row['opened'])}"
    if row["unmapped"]:
        yield f"{some(row['unmapped'], 'line')} for the quarantine"
    if row["lookups"]:
        yield f"the sender is asked again: {some(row['lookups'], 'question')}"


def _say(done: Sequence[Mapping[str, Any]], *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        show_json(done)
        return
    changed = [row for row in done if row["became"] == "replayed"]
    show(
        count(changed, "event", "replayed", dry_run=dry_run)
        if changed
        else "nothing would change"
        if dry_run
        else "nothing to replay"
    )


def _replayed(settings: Settings, arguments: Mapping[str, Any], *, dry_run: bool, quiet: bool) -> list[dict[str, Any]]:
    """Replay events, or say what would come of it; return what became of each.

    Each part is an answer of the daemon's own, so that no number of events is too great for its patience. What a part has
    done stays when a later one fails.
    """
    done: list[dict[str, Any]] = []
    console = Console(stderr=True)
    total = _total(settings, arguments)
    hidden = quiet or not console.is_terminal or total <= MOST_EVENTS
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, disable=hidden) as bar:
        task = bar.add_task("looking" if dry_run else "replaying", total=total)
        more = True
        while more:
            after = done[-1]["event_id"] if done else 0
            part = {**arguments, "after": after, "most": MOST_EVENTS, "dry_run": dry_run}
            some = act(settings, "replay", part)
            done += some
            bar.update(task, completed=len(done))
            more = len(some) == MOST_EVENTS
    return done


def _total(settings: Settings, arguments: Mapping[str, Any]) -> int:
    if ids := arguments["ids"]:
        return len(set(ids))
    source, state = arguments["source"], arguments["state"]
    return ask(settings, lambda connection: replays.count(connection, source, state))
