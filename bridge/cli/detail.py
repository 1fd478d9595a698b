"""One event, delivery or quarantined line in full, for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from rich.console import RenderableType
from rich.text import Text
from rich.tree import Tree

from bridge.cli.shown import facts, plain
from bridge.contract.errors import BridgeError
from bridge.edge.removed import removed


class NothingFound(BridgeError):
    """The ledger knows nothing of what was asked for."""


def event(found: Mapping[str, Any]) -> list[RenderableType]:
    """Render an event: what is known of it, its body, what it did."""
    parts: list[RenderableType] = [facts(found, without=("body", "encoding", "effects", "quarantine", "lookups"))]
    body = found["body"]
    text = body if isinstance(body, str) else orjson.dumps(body, option=orjson.OPT_INDENT_2).decode()
    parts.append(Text(f"\n{plain(text)}" if text else "\n(no body)"))
    tree = Tree(Text("\nwhat it did"))
    for effect in found["effects"]:
        tree.add(Text(f"registration {effect['registration_id']}: {effect['effect']}"))
    for line in found["quarantine"]:
        tree.add(Text(plain(f"quarantined line {line['quarantine_id']}: {line['remote_product_id']} {line['state']}")))
    for asked in found["lookups"]:
        why = f": {asked['why']}" if asked["why"] else ""
        tree.add(Text(plain(f"lookup {asked['lookup_id']}: {asked['kind']} {asked['key']} {asked['state']}{why}")))
    return [*parts, tree] if tree.children else [*parts, Text("\nit led to nothing")]


def delivery(found: Mapping[str, Any]) -> list[RenderableType]:
    """Render a delivery: what is known of it, the right it is for, every attempt with its exchanges."""
    parts: list[RenderableType] = [facts(found, without=("right", "attempts", "removed"))]
    if found["right"] is not None:
        parts += [Text("\nthe right"), facts(found["right"], without=("right_id", "target", "person"))]
    tree = Tree(Text(f"\nattempts: {len(found['attempts'])}"))
    for attempt in found["attempts"]:
        said = f"{plain(attempt['at'])}  {attempt['operation']}: {attempt['outcome']} in {attempt['ms']} ms"
        branch = tree.add(Text(plain(said)))
        if attempt["why"]:
            branch.add(Text(plain(attempt["why"])))
        for exchange in attempt["exchanges"]:
            exchange_line(branch, exchange)
    return [*parts, tree, *(Text(removed(gone)) for gone in found["removed"])]


def exchange_line(branch: Tree, exchange: Mapping[str, Any]) -> None:
    """Add one request and its answer to a tree, with what was sent and what came back below it."""
    protocol = "SMTP" if exchange["method"] == "MAIL" else "HTTP"
    told = exchange["fault"] or (f"{protocol} {exchange['status']}" if exchange["status"] else "no answer")
    leaf = branch.add(Text(plain(f"{exchange['method']} {exchange['url']}: {told}, {exchange['ms']} ms")))
    for name in ("sent", "answer"):
        if exchange[name] is not None:
            value = exchange[name]
            text = value if isinstance(value, str) else orjson.dumps(value).decode()
            leaf.add(Text(plain(f"{name}: {text}")))


def quarantined(found: Mapping[str, Any]) -> list[RenderableType]:
    """Render a quarantined line, with the command that waits."""
    parts: list[RenderableType] = [facts(found, without=("command",))]
    if found["command"] is not None:
        parts.append(Text("\n" + plain(orjson.dumps(_filled(found["command"]), option=orjson.OPT_INDENT_2).decode())))
    return parts


def _filled(value: Any) -> Any:
    """Leave out what says nothing."""
    if isinstance(value, dict):
        return {name: _filled(item) for name, item in value.items() if item not in (None, "", {}, [])}
    return [_filled(item) for item in value] if isinstance(value, list) else value
