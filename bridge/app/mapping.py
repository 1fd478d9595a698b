"""What the configuration says and what the ledger lacks of it: for ``bridge check``, ``bridge quarantine`` and the console."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from bridge import registry
from bridge.app.openid import redirect_uri
from bridge.contract.errors import Fault
from bridge.contract.mail import MailSettings
from bridge.contract.settings import SourceSettings
from bridge.kit.clock import SystemClock
from config.settings import Settings


def report_of(settings: Settings, warnings: Iterable[Fault]) -> dict[str, Any]:
    """Return what ``bridge check`` tells of settings that are valid; ``warnings`` are those of the file's reading."""
    return {
        "ok": True,
        "faults": [],
        "warnings": [
            fault_words(item) for item in (*warnings, *_over(settings), *_without_address(settings), *_unsent(settings))
        ],
        "address": settings.server.public_url or f"http://{settings.server.host}:{settings.server.port}",
        "sources": [
            {"name": name, "adapter": given.adapter, "enabled": given.enabled, "addresses": addresses(name, given)}
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
        "openid": _openid(settings),
        "ledger": "readable",
        "notes": [],
        "unmapped": [],
    }


def _openid(settings: Settings) -> dict[str, Any] | None:
    given = settings.admin.openid
    if given is None:
        return None
    return {"issuer": given.issuer, "redirect_uri": redirect_uri(settings), "passwords": given.passwords}


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


def addresses(name: str, given: SourceSettings) -> list[str]:
    """Return the addresses of a source, each with its methods: those that the vendor's own callers know first."""
    if not given.enabled:
        return []
    adapter = registry.adapter_class(given.adapter)
    fixed = [f"{'|'.join(route.methods)} {route.path}" for route in adapter.routes]
    return [*fixed, f"{'|'.join(adapter.methods)} /in/{name}"]


def is_mapped(row: Mapping[str, Any], settings: Settings) -> bool:
    """Say whether the product of a row (``source``, ``remote_product_id``) is mapped."""
    return (row["source"], row["remote_product_id"]) in _sold(settings)


def with_mapped_now(rows: Iterable[Mapping[str, Any]], settings: Settings) -> list[dict[str, Any]]:
    """Return what waits for a mapping, each with ``mapped_now``: a release is all that is missing."""
    sold = _sold(settings)
    return [{**row, "mapped_now": (row["source"], row["remote_product_id"]) in sold} for row in rows]


def _sold(settings: Settings) -> set[tuple[str, str]]:
    return {(source, product.remote_product_id) for product in settings.products for source in product.source}


def snippet(source: str, product: str, settings: Settings) -> str:
    """Return the table of a product as it would stand in the file, with the course where there is only one."""
    courses = [*settings.courses]
    course = quoted(courses[0]) if len(courses) == 1 else '"COURSE"'
    lines = (f"source = {quoted(source)}", f"remote_product_id = {quoted(product)}", f"courses = [{course}]")
    return "\n".join(("[[products]]", *lines))


def quoted(text: str) -> str:
    """Return a text as a TOML string of printable ASCII signs."""
    return "".join(map(_sign, text)).join('""')


def _sign(sign: str) -> str:
    if (
        ord(sign) >= 0x10000 or sign == "\x7f"
    ):  # JSON's pairs of surrogates TOML does not know, and this it wants escaped
        return f"\\U{ord(sign):08x}"
    return json.dumps(sign)[1:-1]


def mapping_of(settings: Settings, waiting: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the whole mapping as a page shows it.

    Args:
        settings: those the bridge works by.
        waiting: products that were bought and lead nowhere: ``source``, ``remote_product_id``, and what was counted.
    """
    report = report_of(settings, ())
    sold = Counter(course for row in report["products"] for course in row["courses"])
    open_targets = {name for name, given in settings.targets.items() if given.enabled}
    teaching = {row["name"] for row in report["targets"] if row["enabled"] and row["stage"] == "lms"}
    taught = Counter(name for row in report["courses"] for name in row["targets"])
    by_look = defaultdict(list)
    for row in report["products"]:
        by_look[row["source"], _look(row["remote_product_id"])].append(row["remote_product_id"])
    return {
        "warnings": report["warnings"],
        "products": report["products"],
        "targets": [
            {**row, "base_url": bare(row["base_url"]), "courses": taught[row["name"]]} for row in report["targets"]
        ],
        "courses": [
            {
                **row,
                "targets": [name for name in row["targets"] if name in open_targets],
                "products": sold[row["name"]],
                "nowhere": bool(teaching) and teaching.isdisjoint(row["targets"]),
            }
            for row in report["courses"]
        ],
        "alike": [{"source": source, "products": ids} for (source, _), ids in by_look.items() if len(ids) > 1],
        "unmapped": [
            {
                **row,
                "toml": snippet(row["source"], row["remote_product_id"], settings),
                "alike": by_look.get((row["source"], _look(row["remote_product_id"])), ()),
            }
            for row in with_mapped_now(waiting, settings)
        ],
    }


def bare(address: str | None) -> str:
    """Return an address without the name and password that may stand in it."""
    scheme, slashes, rest = (address or "").partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{slashes}{host.rpartition('@')[2]}{slash}{path}"


def _look(product: str) -> str:
    """Return what somebody sees of an id who compares two of them: without case and blanks."""
    return "".join(product.split()).casefold()


def fault_words(fault: Fault) -> dict[str, Any]:
    """Return a fault, or a warning, as JSON tells it."""
    return {"where": fault.where, "message": fault.message, "line": fault.line}
