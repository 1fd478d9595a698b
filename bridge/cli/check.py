"""``bridge check``: is the configuration good, what does it say, and which products wait for a mapping."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from bridge.app.mapping import fault_words, report_of, with_mapped_now
from bridge.cli.given import CONFIG, AsJson, ConfigPath, loaded
from bridge.cli.reading import LedgerMissing, ask, ledger_of
from bridge.cli.shown import complain, show, show_json, table
from bridge.contract.errors import ConfigError, LedgerError
from bridge.ledger import folder, reports

_MOST = 50  # unmapped products that are shown


def check(*, config: ConfigPath = CONFIG, as_json: AsJson = False) -> None:
    """Validate the configuration; show its sources with the addresses to give to their senders, and what is unmapped."""
    try:
        found = loaded(config)
    except ConfigError as fault:
        if not as_json:
            raise
        show_json({"ok": False, "faults": [fault_words(item) for item in fault.faults], "warnings": []})
        raise typer.Exit(2) from None
    report = report_of(found.settings, found.warnings)
    try:
        report["unmapped"] = with_mapped_now(ask(found.settings, reports.unmapped), found.settings)
    except LedgerMissing:
        report["ledger"] = "not made yet"
        _look_for_folder(report, Path(ledger_of(found.settings, must_exist=False).file or ""))
    except LedgerError as fault:
        report["ledger"] = str(fault)
    if as_json:
        show_json(report)
    else:
        _show(str(config), report)


def _look_for_folder(report: dict[str, Any], file: Path) -> None:
    """Say what becomes of a folder that is not there: it is made when the bridge starts, if it can be."""
    if (absent := folder.missing(file)) is None:
        return
    if (why := folder.obstacle(absent)) is not None:
        report["warnings"].append({"where": "ledger.url", "line": None, "message": why})
    else:
        report["notes"].append(f"the ledger's folder {absent} does not exist; it will be created ([ledger] url)")


def _show(path: str, report: Mapping[str, Any]) -> None:
    for warning in report["warnings"]:
        place = f"{path}:{warning['line']}" if warning["line"] else path
        complain(f"warning: {place}: {warning['where']}: {warning['message']}")
    if report["ledger"] not in ("readable", "not made yet"):
        complain(f"warning: {report['ledger']}")
    show(f"{path}: ok", *(f"note: {note}" for note in report["notes"]), "")
    _show_senders(report)
    _show_targets(report)
    if (mailer := report["mailer"]) is not None:
        show(f"notices: {'given up' if mailer['drop'] else 'by ' + mailer['server'] + ' from ' + mailer['sender']}", "")
    told = ", ".join(report["alerts"])
    show(
        f"alerts: by {told}" if told else "alerts: nobody is told of what goes wrong: set [alerts] (docs/alerts.md)",
        "",
    )
    if (openid := report["openid"]) is not None:
        show(f"logins to the console: at {openid['issuer']}{', and by password' if openid['passwords'] else ''}")
        show(f"address to register there: {openid['redirect_uri']}", "")
    _show_products(report)
    _show_unmapped(report)


def _show_senders(report: Mapping[str, Any]) -> None:
    sources = [
        {**row, "addresses": "\n".join(row["addresses"]) if row["enabled"] else "(disabled)"}
        for row in report["sources"]
    ]
    columns = {"name": "source", "adapter": "adapter", "addresses": f"addresses, below {report['address']}"}
    if sources:
        show(table(columns, sources, whole=("name", "adapter", "addresses")), "")


def _show_targets(report: Mapping[str, Any]) -> None:
    targets = [{**row, "base_url": row["base_url"] if row["enabled"] else "(disabled)"} for row in report["targets"]]
    columns = {"name": "target", "connector": "connector", "stage": "stage", "base_url": "address"}
    if targets:
        show(table(columns, targets, whole=("name", "connector", "stage")), "")


def _show_products(report: Mapping[str, Any]) -> None:
    reached = {row["name"]: ", ".join(row["targets"]) for row in report["courses"]}
    products = [
        {
            **row,
            "courses": "\n".join(row["courses"]) if not row["ignore"] else "(ignored)",
            "targets": "\n".join(reached.get(course, "") for course in row["courses"]),
        }
        for row in report["products"]
    ]
    columns = {"source": "source", "remote_product_id": "product", "courses": "courses", "targets": "tables for"}
    if products:
        show(table(columns, products, whole=("source", "remote_product_id")), "")


def _show_unmapped(report: Mapping[str, Any]) -> None:
    if not report["unmapped"]:
        show("no product waits in quarantine" if report["ledger"] == "readable" else f"ledger: {report['ledger']}")
        return
    rows = [
        {**row, "do": "bridge release" if row["mapped_now"] else "map it, bridge reload, then bridge release"}
        for row in report["unmapped"]
    ]
    columns = {
        "source": "source",
        "remote_product_id": "unmapped product",
        "waiting": "lines",
        "since": "since (UTC)",
        "do": "what to do",
    }
    show(table(columns, rows[:_MOST], whole=("source", "remote_product_id", "waiting", "since")))
    if len(rows) > _MOST:
        show("", f"... and {len(rows) - _MOST} more: bridge quarantine --causes, or --json")
