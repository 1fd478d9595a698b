"""Passages of the docs that are rendered from the code, between markers: written here, compared by a test.

A passage stands between a line with ``>>> generated: NAME`` and one with ``<<< generated: NAME``.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

from pydantic import BaseModel

from bridge.cli import example
from bridge.cli.describe import Described, fields_of, first_sentence, plain
from bridge.cli.exchanges import exchanges
from bridge.contract.errors import BridgeError
from bridge.contract.inbound import InboundAdapter, Tabulates
from bridge.contract.outbound import OutboundConnector
from bridge.contract.settings import Condition, Rate, SourceSettings, TargetSettings
from bridge.ledger.states import TRANSITIONS, Intent, derive
from bridge.registry import Registry, adapter_class, connector_class
from config.alerts import Alerts, AlertWebhook
from config.settings import (
    Access,
    Admin,
    ApiToken,
    ConsoleUser,
    Course,
    Dispatch,
    Ledger,
    Log,
    Mailer,
    Product,
    Server,
    Telemetry,
)

ROOT = Path(__file__).resolve().parents[2]

WITHOUT_EFFECT: frozenset[str] = frozenset()
"""Settings that are checked and kept, and that nothing reads yet."""

_SECTIONS: Mapping[str, type[BaseModel]] = {
    "server": Server,
    "ledger": Ledger,
    "dispatch": Dispatch,
    "log": Log,
    "telemetry": Telemetry,
    "admin": Admin,
    "admin.tokens.NAME": ApiToken,
    "console.users.NAME": ConsoleUser,
    "mailer": Mailer,
    "alerts": Alerts,
    "alerts.webhook": AlertWebhook,
    "sources.NAME": SourceSettings,
    "targets.NAME": TargetSettings,
    "targets.NAME.only_if[]": Condition,
    "courses.NAME": Course,
    "courses.NAME.access": Access,
    "products[]": Product,
}
_ELSEWHERE = frozenset({"admin.tokens", "courses.NAME.tables", "courses.NAME.access", "alerts.webhook"})
_GIVEN = {"courses.NAME.title": "the course's name"}  # by config.sections, not by the model
_ARGUMENTS = [(missing, leaving, dead) for missing in (0, 1) for leaving in (0, 1) for dead in (0, 1)]


def write_docs() -> list[str]:
    """Render every passage anew and return the files that changed.

    Raises:
        BridgeError: the docs are not here, or a marker is missing.
    """
    changed = []
    for name, (old, new) in _rendered().items():
        if old != new:
            (ROOT / name).write_text(new, encoding="utf-8")
            changed.append(name)
    return changed


def check_docs() -> list[str]:
    """Return the files whose passages are not what the code says now.

    Raises:
        BridgeError: the docs are not here, or a marker is missing.
    """
    return [name for name, (old, new) in _rendered().items() if old != new]


def _rendered() -> dict[str, tuple[str, str]]:
    files = {}
    for name, passages in _PASSAGES.items():
        try:
            old = (ROOT / name).read_text(encoding="utf-8")
        except OSError:
            raise BridgeError(f"{name} is not here: the docs are part of the source tree, not of the package") from None
        new = old
        for passage, render in passages.items():
            new = _with_passage(new, passage, render(), name)
        files[name] = (old, new)
    return files


def _with_passage(text: str, passage: str, lines: Iterable[str], file: str) -> str:
    pattern = re.compile(rf"(?ms)(^[^\n]*>>> generated: {passage}\b[^\n]*\n).*?(^[^\n]*<<< generated: {passage}\b)")
    body = "".join(f"{line}\n" for line in lines)
    new, found = pattern.subn(lambda match: match[1] + body + match[2], text)
    if found != 1:
        raise BridgeError(f"{file}: expected the markers of the passage '{passage}' once, found them {found} times")
    return new


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"


def _adapters() -> Iterator[str]:
    head = ("type", "what it is", "addresses", "credentials", "`remote_product_id`", "not confirmed by a source")
    yield from _table(
        head, [_adapter(name, adapter_class(name)) for name in example.ours(Registry().adapters(), adapter_class)]
    )


def _adapter(name: str, kind: type[InboundAdapter]) -> Sequence[str]:
    routes = [f"`{', '.join(route.methods)} {route.path}`" for route in kind.routes]
    own = [f"`{field.name}`" for field in fields_of(kind.Settings, SourceSettings) if field.secret]
    addresses = [*routes, f"`{', '.join(kind.methods)} /in/SOURCE`"]
    what = first_sentence(example.module_text(kind))
    return (
        f"`{name}`",
        what,
        "<br>".join(addresses),
        ", ".join(own) or "none",
        plain(kind.product_id),
        kind.unverified,
    )


def _senders() -> Iterator[str]:
    for name in example.ours(Registry().adapters(), adapter_class):
        yield from _sender(name, adapter_class(name))


def _sender(name: str, kind: type[InboundAdapter]) -> Iterator[str]:
    own = fields_of(kind.Settings, SourceSettings)
    needed = [field.name for field in own if field.required]
    optional = [field.name for field in own if not field.required]
    yield from (f"## `{name}`", "", first_sentence(example.module_text(kind)), "")
    yield f"- Settings: {_named(needed) or 'none is needed'}{f'; if wanted {_named(optional)}' if optional else ''}."
    yield f"- Its product is: {plain(kind.product_id)}"
    if kind.unverified:
        yield f"- **Not confirmed by any source we have:** {kind.unverified}"
    yield ""
    places = {"{url}": "PUBLIC_URL/in/SOURCE", "{host}": "PUBLIC_URL"}
    if isinstance(kind, Tabulates):
        for field, values in kind.meanings.items():
            yield from _table((f"`{field}`", "what it does"), [(f"`{value}`", does) for value, does in values.items()])
            yield ""
    for place, step in enumerate(kind.setup, start=1):
        for placeholder, shown in places.items():
            step = step.replace(placeholder, shown)  # noqa: PLW2901 - one after the other
        yield f"{place}. {step}"
    yield ""


def _named(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _connectors() -> Iterator[str]:
    head = (
        *("type", "what it is", "credentials", "course table", "known by", "stage"),
        *("operations, and why each may be repeated", "limits", "batch"),
    )
    names = example.ours(Registry().connectors(), connector_class)
    yield from _table(head, [_connector(name, connector_class(name)) for name in names])


def _connector(name: str, kind: type[OutboundConnector]) -> Sequence[str]:
    secrets = [f"`{field.name}`" for field in fields_of(kind.Settings, TargetSettings) if field.secret]
    return (
        f"`{name}`",
        first_sentence(example.module_text(kind)),
        ", ".join(secrets) or "none",
        _course_table(kind),
        {"email": "e-mail", "user_id": "user id"}[kind.known_by],
        kind.stage,
        ", ".join(f"{operation}: {repeat}" for operation, repeat in kind.operations.items()),
        ", ".join(_rate(rate) for rate in kind.rate_limit) or "none published",
        str(kind.batch_size),
    )


def _targets() -> Iterator[str]:
    for name in example.ours(Registry().connectors(), connector_class):
        yield from _target(name, connector_class(name))


def _target(name: str, kind: type[OutboundConnector]) -> Iterator[str]:
    own = fields_of(kind.Settings, TargetSettings)
    needed = [field.name for field in own if field.required]
    optional = [field.name for field in own if not field.required]
    module = example.module_text(kind)
    yield from (f"## `{name}`", "", first_sentence(module), "")
    yield f"- Settings: {_named(needed) or 'none is needed'}{f'; if wanted {_named(optional)}' if optional else ''}."
    if kind.Course is not None:
        yield f"- A course's table: {_course_table(kind)}."
    if (unverified := example.unconfirmed(module)) is not None:
        yield f"- **Not confirmed by any source we have:** {unverified}"
    yield ""
    rows = [(error.sentence, error.next_step) for error in kind.errors.values()]
    yield from _table(("what is wrong", "what to do"), rows)
    yield ""


def _exchanges() -> Iterator[str]:
    yield from _table(("target", "what happens", "what it is told"), _recorded())


@cache
def _recorded() -> tuple[tuple[str, str, str], ...]:
    """Run every connector against its emulator; once, because that takes seconds."""
    names = example.ours(Registry().connectors(), connector_class)
    return tuple((f"`{name}`", happens, told) for name, happens, told in exchanges(names))


def _course_table(kind: type[OutboundConnector]) -> str:
    if kind.Course is None:
        return "none"
    fields = ", ".join(f"`{field.name}`" for field in fields_of(kind.Course))
    return f"{'needed' if kind.needs_table else 'optional'}: {fields}"


def _rate(rate: Rate) -> str:
    return f"{rate.requests} requests in {rate.seconds:g} s"


def _settings() -> Iterator[str]:
    rows = []
    for section, model in _SECTIONS.items():
        for field in fields_of(model):
            key = f"{section}.{field.name}"
            if key not in _ELSEWHERE:
                rows.append((f"`{key}`", _default(key, field), _said(key, field)))
    yield from _table(("key", "default", "what it means"), rows)


def _default(key: str, field: Described) -> str:
    if field.required:
        return _GIVEN.get(key, "required")
    return "not set" if field.default is None else f"`{field.default}`"


def _said(key: str, field: Described) -> str:
    text = field.text + (f" ({', '.join(f'`{choice}`' for choice in field.choices)})" if field.choices else "")
    return f"{text}. **Without effect yet.**" if key in WITHOUT_EFFECT else text


def _states() -> Iterator[str]:
    head = (
        "what the sender wants",
        "a wanted right is not held",
        "an unwanted right is held",
        "a dead letter",
        "state",
    )
    rows: dict[tuple[str, ...], None] = {}
    for intent in Intent:
        for missing, leaving, dead in _ARGUMENTS:
            state = derive(intent, missing=bool(missing), leaving=bool(leaving), dead=bool(dead))
            rows[_row(intent, missing, leaving, dead, state)] = None
    yield from _table(head, list(rows))


def _row(intent: Intent, missing: int, leaving: int, dead: int, state: str) -> tuple[str, ...]:
    """Blank what does not matter: what is missing counts while access is wanted, what is leaving while it is not."""
    live = intent is Intent.LIVE
    differs = missing if live else leaving
    told = {0: "no", 1: "yes"}
    return (
        f"`{intent}`",
        told[missing] if live else "",
        "" if live else told[leaving],
        told[dead] if differs else "",
        f"`{state}`",
    )


def _transitions() -> Iterator[str]:
    rows = [(f"`{state}`", ", ".join(f"`{after}`" for after in sorted(found))) for state, found in TRANSITIONS.items()]
    yield from _table(("state", "may become"), rows)


_PASSAGES: Mapping[str, Mapping[str, Callable[[], Iterable[str]]]] = {
    "bridge.toml.example": {"sources": example.sources, "targets": example.targets},
    "docs/connectors.md": {"adapters": _adapters, "connectors": _connectors, "exchanges": _exchanges},
    "docs/flow.md": {"states": _states, "transitions": _transitions},
    "docs/operations.md": {"settings": _settings},
    "docs/senders.md": {"senders": _senders},
    "docs/targets.md": {"targets": _targets},
}


if __name__ == "__main__":
    stale = check_docs()
    for file in stale:
        sys.stderr.write(f"{file} is stale: run `make docs`\n")
    raise SystemExit(1 if stale else 0)
