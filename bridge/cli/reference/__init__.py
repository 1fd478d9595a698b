"""Passages of the docs that are rendered from the code, between markers: written here, compared by a test.

A passage stands between a line with ``>>> generated: NAME`` and one with ``<<< generated: NAME``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from bridge.cli import example
from bridge.cli.reference import errors, metrics, said, settings, states, systems, verbs
from bridge.contract.errors import BridgeError

ROOT = Path(__file__).resolve().parents[3]


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


_PASSAGES: Mapping[str, Mapping[str, Callable[[], Iterable[str]]]] = {
    "bridge.toml.example": {"sources": example.sources, "targets": example.targets},
    "docs/connectors.md": {
        "adapters": systems.adapters,
        "connectors": systems.connectors,
        "exchanges": systems.exchanges,
    },
    "docs/flow.md": {"states": states.states, "transitions": states.transitions},
    "docs/reference/errors.md": {
        "answers": errors.answers,
        "others": errors.others,
        "codes": errors.codes,
        "faults": said.faults,
        "refusals": said.refusals,
        "warnings": said.warnings,
        "usage": said.usage,
        "outcomes": errors.outcomes,
        "log": said.log_events,
    },
    "docs/reference/metrics.md": {"metrics": metrics.metrics},
    "docs/reference/settings.md": {
        "settings": settings.settings,
        "shared": settings.shared,
        "of-sources": settings.adapters,
        "of-targets": settings.connectors,
    },
    "docs/reference/verbs.md": {"verbs": verbs.verbs},
    "docs/senders.md": {"senders": systems.senders},
    "docs/targets.md": {"targets": systems.targets},
}
