"""From a file to settings, or to one message with everything that is wrong with it."""

from __future__ import annotations

import hashlib
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bridge.contract.errors import ConfigError, Fault
from config.checks import Checks
from config.findings import Findings
from config.lines import Lines
from config.references import References
from config.sections import Draft, Sections, Types
from config.settings import Settings

__all__ = ["Loaded", "Types", "load"]

_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


@dataclass(frozen=True, slots=True)
class Loaded:
    """A file that can be used.

    Attributes:
        warnings: what the operator should know, in the order of the file.
        text_digest: SHA-256 of the file in hex; tells whether a later reading is of the same text.
    """

    settings: Settings
    warnings: tuple[Fault, ...]
    text_digest: str


def load(
    path: str | Path,
    types: Types,
    env: Mapping[str, str] = os.environ,  # noqa: TID251 - config is where the environment is read
) -> Loaded:
    """Read and validate a file; nothing else is changed or kept.

    Args:
        path: of the TOML file; ``{ file = ... }`` is relative to its folder.
        types: what the adapters and connectors say of themselves.
        env: the environment that references are looked up in.

    Raises:
        ConfigError: it can't be used; all faults at once, in the order of the file, without secrets.
    """
    path = Path(path)
    raw = _read(path)
    text = _text(raw, path)
    tree = _tree(text, path)
    findings = Findings(Lines(text))
    references = References(path.parent, env, findings)
    sections = Sections(references.replace(tree), types, references, findings)
    draft = sections.draft()
    _place_templates(draft, path.parent)
    Checks(draft, sections, types, findings).run()
    if findings.faults or draft.settings is None:
        raise ConfigError(findings.faults, str(path))
    return Loaded(draft.settings, findings.warnings, hashlib.sha256(raw).hexdigest())


def _place_templates(draft: Draft, folder: Path) -> None:
    """Let the folder of the notices' templates be relative to the file that names it."""
    if draft.settings is not None and (mailer := draft.settings.mailer) is not None and mailer.templates is not None:
        placed = mailer.model_copy(update={"templates": folder / mailer.templates})
        draft.settings = draft.settings.model_copy(update={"mailer": placed})


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise ConfigError(
            [Fault("file", "does not exist; --config or BRIDGE_CONFIG names another")], str(path)
        ) from None
    except OSError as fault:
        raise ConfigError([Fault("file", f"can't be read: {fault.strerror}")], str(path)) from None


def _text(raw: bytes, path: Path) -> str:
    try:
        return raw.decode("utf-8-sig")  # some editors put a mark of byte order first
    except UnicodeDecodeError as fault:
        line = raw.count(b"\n", 0, fault.start) + 1
        raise ConfigError([Fault("file", "is not UTF-8 text", line)], str(path)) from None


def _tree(text: str, path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as fault:
        raise ConfigError([_syntax(str(fault), text)], str(path)) from None


def _syntax(said: str, text: str) -> Fault:
    place = _PLACE.search(said)
    if place is None:
        return Fault("syntax", said)
    reason = said[: place.start()]
    if place[1] is None:
        return Fault("syntax", f"{reason} at the end of the file", len(text.splitlines()))
    return Fault("syntax", f"{reason} at column {place[2]}", int(place[1]))
