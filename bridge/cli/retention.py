"""``bridge db retention``: what the ``keep_...`` of ``[ledger]`` would remove now, and how far they have come. Changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from bridge.app.policies import kept
from bridge.cli.describe import span
from bridge.cli.given import CONFIG, AsJson, ConfigPath, settings_of
from bridge.cli.reading import ask
from bridge.cli.shown import plain, show, show_json, table
from bridge.kit.clock import SystemClock, milliseconds, moment
from bridge.ledger import ageing, removals, schedule
from bridge.ledger.schedule import PRUNING, RETENTION
from bridge.ledger.vacancy import vacancy

_COLUMNS = {
    "what": "what",
    "keep": "kept for",
    "due": "would go now",
    "removed": "gone so far",
    "before": "what is older is gone (UTC)",
}


def retention(*, config: ConfigPath = CONFIG, as_json: AsJson = False) -> None:
    """Say what the settings `keep_...` of `[ledger]` would empty or remove now, what they have removed so far, and when that last ran.

    On SQLite also how much of the file is free, and how much a VACUUM would free. It looks at every row; nothing is changed.
    """
    settings = settings_of(config)
    keep = {"events": settings.ledger.keep_events, **kept(settings)}
    now = SystemClock().now()
    found = ask(settings, lambda connection: _found(connection, keep, now))
    if as_json:
        show_json(found)
        return
    rows = [{**row, "what": row["what"] + (" (emptied)" if row["what"] == "events" else "")} for row in found["kinds"]]
    show(table(_COLUMNS, rows, whole=("what", "keep", "due", "removed")))
    for job, verb in ((RETENTION, "emptied"), (PRUNING, "removed")):
        at = found["ran"].get(job)
        show(f"what is old was last {verb} at {plain(at)} UTC" if at else f"nothing was ever looked for to be {verb}")
    if (file := found["file"]) is not None:
        whole, free, between = (f"{file[name] / 1e6:.0f} MB" for name in ("bytes", "free", "between"))
        show(f"of {whole} of the file, {free} are free for new rows, and {between} more would be after a VACUUM")


def _found(connection: Any, keep: Mapping[str, timedelta | None], now: datetime) -> dict[str, Any]:
    known = removals.progress(connection)
    kinds = {kind.what: kind for kind in removals.KINDS}
    rows = []
    for what, age in keep.items():
        kind, done = kinds.get(what), known.get(what)
        rows.append(
            {
                "what": what,
                "keep": "off" if age is None else span(age),
                "due": None if age is None else _due(connection, kind, milliseconds(now - age)),
                "removed": None if kind is None else done.removed if done is not None else 0,
                "before": moment(done.older_than) if done is not None and done.removed else None,
            }
        )
    found = vacancy(connection)
    return {
        "kinds": rows,
        "ran": {job: moment(at) for job, at in schedule.last_ran(connection).items()},
        "file": None if found is None else {"bytes": found.whole, "free": found.free, "between": found.between},
    }


def _due(connection: Any, kind: removals.Kind | None, before: int) -> int:
    return ageing.count(connection, before) if kind is None else removals.count(connection, kind, before)
