"""Answers to senders and learners, exit codes, and what targets and senders may be said to have refused."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import get_args

from bridge.cli import example
from bridge.cli.reference.said import cell
from bridge.cli.reference.source import calls, files, templates
from bridge.cli.reference.tables import table
from bridge.cli.verbs import BAD_DATA, BAD_USAGE
from bridge.contract.inbound import AcceptedLine, InboundAdapter, InboundEvent, Kind, Reception
from bridge.edge.claims import SAYS
from bridge.notices.mailer import Mailer
from bridge.registry import Registry, adapter_class, connector_class

_BECAME = {
    "accepted": "it is on disk",
    "unmapped": "it is on disk, and waits in quarantine for its product to be mapped",
    "ignored": "it is proven, and of no use here",
    "not_found": "it names a registration that is not there, or another source's",
    "unreadable": "not even its syntax can be read",
    "unauthorised": "the key or the signature is missing or wrong",
    "no_such_address": "no source has this name",
    "method_not_allowed": "the address takes other methods; they stand in `Allow`",
    "too_large": "the body is larger than `server.max_body`",
    "invalid": "a field is missing or wrong",
    "unavailable": "it is not kept: send it again, after the seconds in `Retry-After`",
}


def answers() -> Iterator[str]:
    """Yield which status every sender gets for what became of its call, by asking the adapters."""
    groups: dict[tuple[int, ...], list[str]] = {}
    for name in example.ours(Registry().adapters(), adapter_class):
        kind = adapter_class(name)
        groups.setdefault(tuple(_status(kind, became) for became in get_args(Kind)), []).append(name)
    columns = sorted(groups.items(), key=lambda group: len(group[1]))
    most = columns.pop()
    heads = [", ".join(f"`{name}`" for name in names) for _, names in columns]
    rows = [
        (f"`{became}`", _BECAME[became], *(str(statuses[place]) for statuses, _ in columns), str(most[0][place]))
        for place, became in enumerate(get_args(Kind))
    ]
    yield from table(("what became of the call", "which means", *heads, "every other sender"), rows)


def codes() -> Iterator[str]:
    """Yield the exit codes of verbs."""
    rows = [
        ("0", "done"),
        (str(BAD_DATA), "something is wrong with the data or a target; what, stands on standard error"),
        (str(BAD_USAGE), "bad usage, or a configuration that can't be used; every fault is said with file and line"),
    ]
    yield from table(("code", "meaning"), rows)


def outcomes() -> Iterator[str]:
    """Yield every sentence about what a target does not take or a sender does not tell, with the next step."""
    found: dict[tuple[str, str], list[str]] = {}
    names = example.ours(Registry().connectors(), connector_class)
    for name, errors in [*((name, connector_class(name).errors) for name in names), ("mailer", Mailer.errors)]:
        for error in errors.values():
            found.setdefault((error.sentence, error.next_step), []).append(name)
    for name, sentence, next_step in _worded():
        found.setdefault((cell(sentence), cell(next_step)), []).append(name)
    rows = [(said, step, ", ".join(f"`{name}`" for name in dict.fromkeys(by))) for (said, step), by in found.items()]
    yield from table(("what is wrong", "what to do", "of"), sorted(rows))


def others() -> Iterator[str]:
    """Yield what is answered where no adapter speaks: probes, links of learners, and addresses that are none."""
    rows: set[tuple[str, str, str]] = set()
    for path in files("bridge/edge/web.py", "bridge/edge/webhooks.py", "bridge/edge/serve.py"):
        for call, name, scope in calls(path):
            statuses = [word.value.value for word in call.keywords if isinstance(word.value, ast.Constant)]
            if name == "json_response" and isinstance(call.args[0], ast.Dict) and statuses:
                said = [text for value in call.args[0].values for text in templates(value, scope, path)]
                rows |= {(str(statuses[0]), f'`{{"error": "{text}"}}`', "any") for text in said}
    rows |= {(str(said.status), said.heading, "`/claim/CODE`") for said in SAYS.values()}
    yield from table(("status", "what it says", "address"), sorted(rows))


def _worded() -> Iterator[tuple[str, str, str]]:
    """Yield what is worded where it happens, and not in a connector's table."""
    for path in files("connectors/inbound", "bridge/jobs", "bridge/dispatch"):
        for call, name, scope in calls(path):
            if name in ("NeedsOperator", "Refused") and len(call.args) > 1:
                steps = templates(call.args[1], scope, path)
                of = path.parts[path.parts.index("connectors") + 2] if "connectors" in path.parts else "any"
                for said in templates(call.args[0], scope, path):
                    yield from ((of.removesuffix(".py"), said, step) for step in steps)


def _status(kind: type[InboundAdapter], became: Kind) -> int:
    route = kind.routes[0] if kind.routes else None
    event = InboundEvent(
        method=route.methods[-1] if route else kind.methods[-1],
        path=route.path if route else "/in/source",
        headers={},
        query={},
        body=b"{}",
        received_at=datetime.fromtimestamp(0, UTC),
    )
    lines = (AcceptedLine(1, "product", None, repeat=False, state="pending"),) if became == "accepted" else ()
    faults = {"field": "what is wrong"} if became in ("invalid", "unreadable") else {}
    return kind.respond(event, Reception(became, lines=lines, faults=faults)).status
