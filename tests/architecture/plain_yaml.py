"""Reads the plain YAML that deploy/ is written in: blocks, quoted and plain scalars, literal text, anchors that are merged.

Whatever else YAML can do is refused, so that nothing is read as something that it is not.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

_KEY = re.compile(r'("[^"]*"|[^\s"\'#\[\]{}&*!|>%@`-][^:#]*?|<<):(?: +(.*))?$')
_PLAIN = re.compile(r"[^\s\"'\[\]{}&*!|>%@`,#?:-].*|-\w.*|/.*")


class NotPlain(Exception):
    """Something that this reader does not take."""


def read(path: Path) -> Any:
    """Return what a file with one document says."""
    return _Reader(path.read_text(encoding="utf-8")).document()


class _Reader:
    def __init__(self, text: str) -> None:
        self._lines = text.split("\n")
        self._at = 0
        self._anchors: dict[str, Any] = {}

    def document(self) -> Any:
        found = self._block(0)
        if self._next() is not None:
            raise NotPlain(self._lines[self._at])
        return found

    def _next(self) -> tuple[int, str] | None:
        """Return indentation and text of the next line that says something."""
        while self._at < len(self._lines):
            line = self._lines[self._at]
            if line.strip() and not line.lstrip().startswith("#"):
                if "\t" in line:
                    raise NotPlain(line)
                return len(line) - len(line.lstrip()), line.strip()
            self._at += 1
        return None

    def _block(self, least: int) -> Any:
        found = self._next()
        if found is None or found[0] < least:
            return None
        indent, text = found
        return self._sequence(indent) if text.startswith("- ") else self._mapping(indent)

    def _sequence(self, indent: int) -> list[Any]:
        items = []
        while (found := self._next()) is not None and found[0] == indent and found[1].startswith("- "):
            rest = found[1][2:]
            if _KEY.match(rest):  # a mapping whose first key stands behind the dash
                self._lines[self._at] = " " * (indent + 2) + rest
                items.append(self._mapping(indent + 2))
            else:
                self._at += 1
                items.append(_scalar(rest))
        return items

    def _mapping(self, indent: int) -> dict[str, Any]:
        items: dict[str, Any] = {}
        while (found := self._next()) is not None and found[0] == indent:
            match = _KEY.match(found[1])
            if match is None:
                raise NotPlain(found[1])
            self._at += 1
            key, rest = str(_scalar(match[1], key=True)), (match[2] or "").strip()
            if key in items:
                raise NotPlain(f"{key} twice")
            value = self._value(rest, indent)
            items = {**value, **items} if key == "<<" else {**items, key: value}
        if found is not None and found[0] > indent:
            raise NotPlain(found[1])
        return items

    def _value(self, rest: str, indent: int) -> Any:
        if rest == "|":
            return self._literal(indent)
        if rest.startswith("*"):
            return self._anchors[rest[1:]]
        if rest.startswith("&"):
            self._anchors[rest[1:]] = found = self._block(indent + 1)
            return found
        return _scalar(rest) if rest and not rest.startswith("#") else self._block(indent + 1)

    def _literal(self, indent: int) -> str:
        lines = []
        while self._at < len(self._lines):
            line = self._lines[self._at]
            if line.strip() and len(line) - len(line.lstrip()) <= indent:
                break
            lines.append(line)
            self._at += 1
        width = len(lines[0]) - len(lines[0].lstrip())
        return "\n".join(line[width:] for line in lines).rstrip("\n") + "\n"


def _scalar(text: str, *, key: bool = False) -> Any:
    if text[0] in '"[{':
        return json.loads(text)
    if key:
        return text
    if " #" in text or ": " in text or not _PLAIN.fullmatch(text):
        raise NotPlain(text)
    if re.fullmatch(r"0[0-7]+", text):
        return int(text, 8)
    if re.fullmatch(r"-?\d+", text):
        return int(text)
    if text.lower() in ("yes", "no", "on", "off", "~"):  # truth to some readers, words to others
        raise NotPlain(text)
    return {"true": True, "false": False, "null": None}.get(text, text)
