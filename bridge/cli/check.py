"""``bridge check``: is the configuration good, what does it say, and which products wait for a mapping."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import typer

from bridge import registry
from bridge.cli.given import CONFIG, AsJson, ConfigPath, loaded
from bridge.cli.reading import LedgerMissing, ask
from bridge.cli.shown import complain, show, show_json, table
from bridge.contract.errors import ConfigError, Fault, LedgerError
from bridge.contract.mail import MailSettings
from bridge.contract.settings import SourceSettings
from bridge.kit.clock import SystemClock
from bridge.ledger import reports
from config.load import Loaded
from config.settings import Settings


def check(*, config: ConfigPath = CONFIG, as_json: AsJson = False) -> None:
    """Validate the configuration; show its sources with the addresses to give to their senders, and what is unmapped."""
    try:
        found = loaded(config)
    except ConfigError as fault:
        if not as_json:
            raise
        show_json({"ok": False, "faults": [_fault(item) for item in fault.faults], "warnings": []})
        raise typer.Exit(2) from None
    report = _report(found)
    try:
        report["unmapped"] = _unmapped(found.settings)
    except LedgerMissing:
        report["ledger"] = "not made yet"
    except LedgerError as fault:
        report["ledger"] = str(fault)
    if as_json:
        show_json(report)
    else:
        _show(str(config), report)


def _report(found: Loaded) -> dict[str, Any]:
    settings = found.settings
    return {
        "ok": True,
        "faults": [],
        "warnings": [
            _fault(item)
            for item in (*found.warnings, *_over(settings), *_without_address(settings), *_unsent(settings))
        ],
        "address": settings.server.public_url or f"http://{settings.server.host}:{settings.server.port}",
        "sources": [
            {"name": name, "adapter": given.adapter, "enabled": given.enabled, "addresses": _addresses(name, given)}
            for name, given in settings.sources.items()
        ],
        "targets": [
            {
                "name": name,
                "connector": given.connector,
                "stage": registry.connector_class(given.connector).stage,
                "base_url": given.base_url,
                "enabled": given.enabled,
            }
            for name, given in settings.targets.items()
        ],
        "courses": [
            {"name": name, "title": course.title, "targets": sorted(course.tables)}
            for name, course in settings.courses.items()
        ],
        "products": [
            {
                "source": source,
                "remote_product_id": product.remote_product_id,
                "courses": list(product.courses),
                "ignore": product.ignore,
            }
            for product in settings.products
            for source in product.source
        ],
        "mailer": None if settings.mailer is None else _mailer(settings.mailer),
        "alerts": [name for name in ("mail", "slack", "webhook") if getattr(settings.alerts, name)],
        "ledger": "readable",
        "unmapped": [],
    }


def _mailer(given: MailSettings) -> dict[str, Any]:
    host, port, encrypted = given.server
    return {
        "server": f"{'smtps' if encrypted else 'smtp'}://{host}:{port}",
        "sender": given.sender,
        "admin": list(given.admin),
        "templates": None if given.templates is None else str(given.templates),
        "drop": given.drop,
    }


def _over(settings: Settings) -> Iterator[Fault]:
    today = SystemClock().now().date()
    for name, course in settings.courses.items():
        if course.access.until is not None and course.access.until < today:
            said = "the day is over: who buys now gets in without this end"
            yield Fault(f"courses.{name}.access.until", said)


def _without_address(settings: Settings) -> Iterator[Fault]:
    """Warn where somebody may buy several, and the links that this makes would have no address."""
    if settings.server.public_url is not None:
        return
    counting = {
        name
        for name, given in settings.sources.items()
        if given.enabled and getattr(registry.adapter_class(given.adapter), "quantities", True)
    }
    sellers = {source for product in settings.products if product.seats == "first" for source in product.source}
    if sellers & counting:
        said = (
            f"is not set, and sources that tell quantities sell ({', '.join(sorted(sellers & counting))}): of several that are"
            ' bought, all but one are links that begin with it; seats = "none" at products whose quantity is no number of people'
        )
        yield Fault("server.public_url", said)


def _unsent(settings: Settings) -> Iterator[Fault]:
    """Senders that may ask for a mail, where a target does not send it and there is no mail server to do it."""
    if settings.mailer is not None:
        return
    for name, given in settings.sources.items():
        if not (given.enabled and getattr(registry.adapter_class(given.adapter), "asks_for_mail", False)):
            continue
        sold = {key for product in settings.products if name in product.source for key in product.courses}
        taught = {target for key in sold for target in settings.courses[key].tables}
        if silent := sorted(target for target in taught if _says_nothing(settings, target)):
            listed = ", ".join(f"'{target}'" for target in silent)
            said = (
                f"may ask for mails that {listed} does not send; without [mailer] nobody sends them (docs/notices.md)"
            )
            yield Fault(f"sources.{name}", said)


def _says_nothing(settings: Settings, target: str) -> bool:
    given = settings.targets[target]
    kind = registry.connector_class(given.connector)
    return given.enabled and kind.stage == "lms" and not getattr(kind, "mails", frozenset())


def _addresses(name: str, given: SourceSettings) -> list[str]:
    if not given.enabled:
        return []
    adapter = registry.adapter_class(given.adapter)
    fixed = [f"{'|'.join(route.methods)} {route.path}" for route in adapter.routes]
    return [*fixed, f"{'|'.join(adapter.methods)} /in/{name}"]


def _unmapped(settings: Settings) -> list[dict[str, Any]]:
    mapped = {(source, product.remote_product_id) for product in settings.products for source in product.source}
    rows = ask(settings, reports.unmapped)
    return [{**row, "mapped_now": (row["source"], row["remote_product_id"]) in mapped} for row in rows]


def _fault(fault: Fault) -> dict[str, Any]:
    return {"where": fault.where, "message": fault.message, "line": fault.line}


def _show(path: str, report: Mapping[str, Any]) -> None:
    for warning in report["warnings"]:
        place = f"{path}:{warning['line']}" if warning["line"] else path
        complain(f"warning: {place}: {warning['where']}: {warning['message']}")
    if report["ledger"] not in ("readable", "not made yet"):
        complain(f"warning: {report['ledger']}")
    show(f"{path}: ok", "")
    _show_senders(report)
    _show_targets(report)
    if (mailer := report["mailer"]) is not None:
        show(f"notices: {'given up' if mailer['drop'] else 'by ' + mailer['server'] + ' from ' + mailer['sender']}", "")
    told = ", ".join(report["alerts"])
    show(
        f"alerts: by {told}" if told else "alerts: nobody is told of what goes wrong: set [alerts] (docs/alerts.md)",
        "",
    )
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
    show(table(columns, rows, whole=("source", "remote_product_id", "waiting", "since")))
