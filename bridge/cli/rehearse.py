"""``bridge rehearse FILE --source NAME``: what a recorded call would lead to, against emulated targets. Nothing leaves the machine."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import parse_qsl

import orjson
import typer
from rich.text import Text
from rich.tree import Tree

from bridge import registry
from bridge.app.catalogue import catalogue_of
from bridge.cli import completing
from bridge.cli.detail import exchange_line
from bridge.cli.emulated import emulated, settled
from bridge.cli.given import CONFIG, AsJson, ConfigPath, Reveal, settings_of
from bridge.cli.shown import plain, show, show_json, veil
from bridge.contract.catalogue import Catalogue, SourceEntry
from bridge.contract.errors import PayloadInvalid, SignatureInvalid
from bridge.contract.inbound import Enriches, Handshakes, InboundAdapter, InboundEvent, Verifies
from bridge.intake.intake import Intake, understood
from bridge.intake.plan import plan
from bridge.kit.clock import SystemClock
from bridge.kit.masking import secrets_of, spellings, veil_value
from config.settings import Settings

_STDIN = Path("-")
_PARTS = frozenset({"method", "path", "headers", "query", "body"})
_NOBODY_ASKED = "A lookup is made at the sender's API; a rehearsal asks nobody, so what it would find is not shown."


def rehearse(  # noqa: PLR0913 - a parameter an option
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="The body as it was sent; or a JSON object with `body` and any of `headers`, `query`, `method` and `path`. `-` reads it from standard input.",
        ),
    ],
    source: Annotated[str, typer.Option("--source", "-s", help="Whose call it is.", autocompletion=completing.sources)],
    *,
    config: ConfigPath = CONFIG,
    header: Annotated[
        list[str] | None, typer.Option("--header", "-H", metavar="'NAME: VALUE'", help="A header.")
    ] = None,
    query: Annotated[str, typer.Option("--query", help="The query, as it stands behind the `?`.")] = "",
    method: Annotated[str, typer.Option("--method", "-X", help="The HTTP method.")] = "POST",
    path: Annotated[str, typer.Option("--path", help="The address; default: the source's own.")] = "",
    as_json: AsJson = False,
    reveal: Reveal = False,
) -> None:
    """Show what one recorded call means and would lead to: commands, plan, and every HTTP exchange with emulated targets."""
    settings = settings_of(config)
    if source not in catalogue_of(settings).sources:
        known = sorted(catalogue_of(settings).sources)
        raise typer.BadParameter(f"there is no source '{source}'; there are {', '.join(known) or 'none'}")
    given = {"method": method, "path": path or f"/in/{source}", "query": dict(parse_qsl(query, keep_blank_values=True))}
    event = _event(file, {**given, "headers": _headers(header or [])})
    told = veil_value(asyncio.run(_rehearsed(settings, source, event)), spellings(secrets_of(settings)))
    found = veil(told, reveal=reveal)
    if as_json:
        show_json(found)
    else:
        _show(found)
    if found["unreadable"]:
        raise typer.Exit(1)


def _headers(given: Iterable[str]) -> dict[str, str]:
    headers = {}
    for text in given:
        name, colon, value = text.partition(":")
        if not colon:
            raise typer.BadParameter("a header is written as 'NAME: VALUE'")
        headers[name.strip().lower()] = value.strip()
    return headers


def _event(file: Path, given: Mapping[str, Any]) -> InboundEvent:
    try:
        body = sys.stdin.buffer.read() if file == _STDIN else file.read_bytes()
    except OSError as fault:
        raise typer.BadParameter(f"{file} can't be read: {fault.strerror}") from None
    parts = dict(given)
    try:
        recorded = orjson.loads(body)
    except orjson.JSONDecodeError:
        recorded = None
    if isinstance(recorded, dict) and "body" in recorded and set(recorded) <= _PARTS:
        if not _are_parts(recorded):
            raise typer.BadParameter("headers and query are objects of texts, method and path are texts")
        said = recorded.pop("body")
        body = said.encode() if isinstance(said, str) else orjson.dumps(said)
        headers = {name.lower(): str(value) for name, value in dict(recorded.pop("headers", {})).items()}
        parts |= {**recorded, "headers": {**headers, **parts["headers"]}}
    return InboundEvent(body=body, received_at=SystemClock().now(), **parts)


def _are_parts(recorded: Mapping[str, Any]) -> bool:
    objects = [recorded[name] for name in ("headers", "query") if name in recorded]
    texts = [recorded[name] for name in ("method", "path") if name in recorded]
    if not all(isinstance(found, dict) for found in objects):
        return False
    return all(isinstance(text, str) for text in (*texts, *recorded.get("query", {}).values()))


async def _rehearsed(settings: Settings, name: str, event: InboundEvent) -> dict[str, Any]:
    catalogue = catalogue_of(settings)
    entry = catalogue.sources[name]
    adapter = registry.adapter_class(entry.adapter)(settings.sources[name])
    told: dict[str, Any] = {"source": name, "adapter": entry.adapter, "proven": _proven(adapter, event)}
    if isinstance(adapter, Handshakes) and (hand := adapter.handshake(event)) is not None:
        return {**told, "handshake": hand.status, **_nothing()}
    try:
        meanings = adapter.normalise(event)
        asks = adapter.lookups(event) if isinstance(adapter, Enriches) else ()
    except PayloadInvalid as fault:
        return {**told, **_nothing(), "unreadable": {"": str(fault)}}
    commands, faults = understood(meanings, entry, event.received_at)
    return {
        **told,
        "commands": [command.model_dump(mode="json", exclude_defaults=True) for command in commands],
        "left_out": len(meanings) - len(commands) - len(faults),
        "unreadable": {row: str(fault) for row, fault in faults.items()},
        "lookups": [asdict(asked) for asked in asks],
        "plan": [_planned(plan(command, entry, catalogue)) for command in commands],
        "deliveries": await _played(settings, entry, adapter, event) if commands else [],
    }


def _nothing() -> dict[str, Any]:
    return {"commands": [], "left_out": 0, "unreadable": {}, "lookups": [], "plan": [], "deliveries": []}


def _proven(adapter: InboundAdapter, event: InboundEvent) -> str:
    """Say whether the recorded call proves whose it is; most recordings have lost their signature, and it is only said."""
    try:
        adapter.verify(event)
    except SignatureInvalid as fault:
        return f"no: {fault}"
    except PayloadInvalid as fault:
        return f"no: {fault}"
    return "as far as it can be told without the network" if isinstance(adapter, Verifies) else "yes"


def _planned(found: Any) -> dict[str, Any]:
    return {
        "action": found.command.action.value,
        "lines": [
            {
                "remote_product_id": line.item.remote_product_id,
                "product_url": line.product_url,
                "grants": [
                    {
                        "course": grant.course,
                        "until": grant.expires_at,
                        "rights": [f"{right.target.name} {right.course}" for right in grant.rights],
                    }
                    for grant in line.grants
                ],
                "contacts": [target.name for target in line.contacts],
                "seats": line.seats,
            }
            for line in found.lines
        ],
        "unmapped": [item.remote_product_id for item in found.unmapped],
        "ignored": [item.remote_product_id for item in found.ignored],
    }


async def _played(
    settings: Settings, entry: SourceEntry, adapter: InboundAdapter, event: InboundEvent
) -> list[dict[str, Any]]:
    """Take the call in on a ledger of its own, let the lanes work against emulators, and return every delivery."""
    async with emulated(settings) as bridge:
        catalogue = _with_source(bridge.catalogue, entry)
        await Intake(bridge.ledger, lambda: catalogue).receive(entry, adapter, event)
        return await settled(bridge)


def _with_source(catalogue: Catalogue, entry: SourceEntry) -> Catalogue:
    return replace(catalogue, sources={entry.name: entry})


def _show(found: Mapping[str, Any]) -> None:
    show(f"{found['source']} ({found['adapter']}); is it proven whose call it is? {found['proven']}")
    if "handshake" in found:
        show(f"a handshake: answered with HTTP {found['handshake']}, without any effect")
        return
    for row, why in found["unreadable"].items():
        show(f"can't be understood{f', row {row}' if row else ''}: {why}")
    if found["left_out"]:
        show(f"{found['left_out']} left out: test orders, or no test orders for a source in test mode")
    for asked in found["lookups"]:
        show(f"to be looked up: {asked['kind']} {asked['key']}")
    if found["lookups"]:
        show(_NOBODY_ASKED)
    if not (found["commands"] or found["unreadable"] or found["lookups"]):
        show("of no use to the bridge: nothing follows from it")
    for command, planned in zip(found["commands"], found["plan"], strict=True):
        show(_plan_tree(command, planned))
    if found["deliveries"]:
        show(_told_tree(found["deliveries"]))


def _plan_tree(command: Mapping[str, Any], planned: Mapping[str, Any]) -> Tree:
    tree = Tree(Text(f"command: {planned['action']}", style="bold"))
    said = tree.add("what it says")
    for name, value in command.items():
        text = value if isinstance(value, str) else orjson.dumps(value, default=str).decode()
        said.add(Text(plain(f"{name}: {text}")))
    for line in planned["lines"]:
        branch = tree.add(Text(plain(f"product {line['remote_product_id']}")))
        for grant in line["grants"]:
            until = f" until {plain(grant['until'])}" if grant["until"] else ""
            rights = ", ".join(grant["rights"]) or "no LMS takes it"
            branch.add(Text(plain(f"course {grant['course']}{until}: {rights}")))
        if line["contacts"]:
            branch.add(Text(plain(f"told: {', '.join(line['contacts'])}")))
    for product in planned["unmapped"]:
        tree.add(Text(plain(f"product {product} is not mapped: it would wait in quarantine")))
    for product in planned["ignored"]:
        tree.add(Text(plain(f"product {product} is ignored")))
    return tree


def _told_tree(deliveries: Sequence[Mapping[str, Any]]) -> Tree:
    tree = Tree(Text("what emulated targets were told", style="bold"))
    for delivery in deliveries:
        branch = tree.add(Text(plain(f"{delivery['target']} {delivery['kind']}: {delivery['state']}")))
        for attempt in delivery["attempts"]:
            for exchange in attempt["exchanges"]:
                exchange_line(branch, exchange)
    return tree
