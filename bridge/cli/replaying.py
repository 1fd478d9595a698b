"""Replaying however many events: part by part, with a bar while somebody looks and there is more than one part."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from bridge.actions.events import MOST_EVENTS
from bridge.cli.control import act
from bridge.cli.reading import ask
from bridge.ledger import replays
from config.settings import Settings


def replayed(settings: Settings, arguments: Mapping[str, Any], *, dry_run: bool, quiet: bool) -> list[dict[str, Any]]:
    """Replay events, or say what would come of it; return what became of each.

    Each part is an answer of the daemon's own, so that no number of events is too great for its patience. What a part has
    done stays when a later one fails.

    Args:
        settings: of the bridge.
        arguments: of the action: ``ids``, or ``source`` and ``state``.
        dry_run: nothing is changed.
        quiet: no bar.

    Raises:
        ActionRefused: it can't be done as asked.
        LedgerError: there is no ledger, or it did not take the change.
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
