"""``bridge connectors``: which systems the bridge can speak to."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from bridge.cli.given import AsJson
from bridge.cli.shown import show, show_json, table
from bridge.registry import Registry, adapter_class, connector_class


def connectors(
    *,
    as_json: AsJson = False,
    write_docs: Annotated[
        bool, typer.Option("--write-docs", help="Write the generated parts of the docs and the example file anew.")
    ] = False,
) -> None:
    """List adapters (who tells us), connectors (whom we tell) and which targets can be emulated."""
    if write_docs:
        from bridge.cli.reference import write_docs as write  # noqa: PLC0415 - for developers only

        written = write()
        show_json(written) if as_json else show(*(written or ["the docs are up to date"]))
        return
    rows = _rows()
    if as_json:
        show_json(rows)
    else:
        columns = {"direction": "direction", "name": "type", "said": "what it is", "emulator": "emulated"}
        show(table(columns, rows, whole=("direction", "name")))


def _rows() -> list[dict[str, Any]]:
    known = Registry()
    emulated = set(known.emulators())
    inbound = [
        {"direction": "inbound", "name": name, "said": _said(adapter_class(name)), "emulator": None}
        for name in known.adapters()
    ]
    outbound = [
        {"direction": "outbound", "name": name, "said": _said(connector_class(name)), "emulator": name in emulated}
        for name in known.connectors()
    ]
    return inbound + outbound


def _said(kind: type) -> str:
    return (kind.__doc__ or "").strip().partition("\n")[0]
