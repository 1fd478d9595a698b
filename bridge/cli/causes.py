"""``bridge quarantine --causes``: what waits there, counted by its cause, and what to write or to do about each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bridge.app.mapping import is_mapped, snippet
from bridge.cli.given import expect_names, settings_of
from bridge.cli.reading import ask
from bridge.cli.shown import plain, show, show_json, table
from bridge.ledger import reports
from config.settings import Settings

_ROWS = 50
_SNIPPETS = 20


def tell(path: Path, source: str | None, *, as_json: bool) -> None:
    """Show the causes, the most frequent first."""
    settings = settings_of(path)
    found = ask(settings, lambda connection: reports.quarantine_causes(connection, source))
    if not found:
        expect_names(settings, source=source)
    rows = [{**row, "do": _next_step(row, settings), "toml": _toml(row, settings)} for row in found]
    if as_json:
        show_json(rows)
        return
    if not rows:
        show("none")
        return
    columns = {
        "source": "source",
        "kind": "kind",
        "remote_product_id": "product",
        "waiting": "waiting",
        "since": "since (UTC)",
        "do": "what to do",
    }
    show(table(columns, rows[:_ROWS], whole=("source", "kind", "waiting", "since")))
    if len(rows) > _ROWS:
        show("", f"... and {len(rows) - _ROWS} more causes: --json has all of them")
    _show_snippets([row["toml"] for row in rows if row["toml"]])


def _show_snippets(snippets: list[str]) -> None:
    if not snippets:
        return
    show("", "to write into bridge.toml, with the course that each product opens, or ignore = true in its place:", "")
    for text in snippets[:_SNIPPETS]:
        show(plain(text), "")
    if len(snippets) > _SNIPPETS:
        show(f"... and {len(snippets) - _SNIPPETS} more: --json has all of them", "")
    show("then: bridge check, bridge reload, bridge release --all")


def _next_step(row: Mapping[str, Any], settings: Settings) -> str:
    source = row["source"]
    if row["kind"] == "unmapped":
        mapped = is_mapped(row, settings)
        return f"bridge release --source {source}" if mapped else "map it as below, reload, then release"
    if row["kind"] == "unreadable":
        return f"set the source right, then bridge replay --source {source} --state unreadable"
    return "nothing, if its purchase is older than the bridge; else have the sender repeat the purchase"


def _toml(row: Mapping[str, Any], settings: Settings) -> str | None:
    if row["kind"] != "unmapped" or is_mapped(row, settings):
        return None
    return snippet(row["source"], row["remote_product_id"], settings)
