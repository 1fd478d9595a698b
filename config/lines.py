"""Where in a TOML file each key stands; the standard parser does not tell."""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_left

Key = tuple[str | int, ...]
"""Path of a key from the top of the file; an int is the position in a list, counted from 0."""

_BLANK = re.compile(r"(?:\s+|#[^\n]*)*")
_PART = re.compile(r"""[A-Za-z0-9_-]+|"(?:\\.|[^"\\])*"|'[^']*'""")
_PLAIN_PART = re.compile(r"[A-Za-z0-9_-]+")
_STRING = re.compile(
    r'"""(?:\\.|[^\\])*?"""(?:"{0,2})'  # up to two quotes may stand directly before the closing three
    r"|'''.*?'''(?:'{0,2})"
    r'|"(?:\\.|[^"\\])*"'
    r"|'[^']*'",
    re.DOTALL,
)
_OTHER = re.compile(r"[^,\]}#\n]*")


def dotted(key: Key) -> str:
    """Return a key as operators write it: ``products[0].source``, ``targets.crm."First name"``."""
    text = ""
    for part in key:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            shown = part if _PLAIN_PART.fullmatch(part) else '"' + part.replace('"', '\\"') + '"'
            text += f".{shown}" if text else shown
    return text


class Lines:
    """Lines of a file that :mod:`tomllib` accepts."""

    def __init__(self, text: str) -> None:
        """Scan the whole text once."""
        self._lines = _Scanner(text).scan()

    def of(self, key: Key) -> int | None:
        """Return the line of a key, or of its nearest parent that is written down; None when none is."""
        for end in range(len(key), 0, -1):
            if (line := self._lines.get(key[:end])) is not None:
                return line
        return None

    def keys(self) -> set[Key]:
        """Return every key that is written down, tables and list entries included."""
        return set(self._lines)


class _Scanner:
    """Walks over a valid text; so it need only know where things end, not what they mean."""

    def __init__(self, text: str) -> None:
        self._text = text.replace("\r\n", "\n")
        self._ends = [match.start() for match in re.finditer("\n", self._text)]
        self._at = 0
        self._lines: dict[Key, int] = {}
        self._elements: dict[Key, int] = {}  # of each array of tables, how many were seen so far

    def scan(self) -> dict[Key, int]:
        table: Key = ()
        while self._skip_blank() < len(self._text):
            if self._sees("["):
                table = self._header()
            else:
                self._pair(table)
        return self._lines

    def _header(self) -> Key:
        line, brackets = self._line(), 2 if self._sees("[[") else 1
        self._at += brackets
        *parents, name = self._name()
        self._at = self._text.index("]", self._at) + brackets
        key: Key = ()
        for part in parents:
            key = (*key, part)
            self._lines.setdefault(key, line)
            if key in self._elements:
                key = (*key, self._elements[key] - 1)
        key = (*key, name)
        if brackets == 2:
            self._lines.setdefault(key, line)
            self._elements[key] = self._elements.get(key, 0) + 1
            key = (*key, self._elements[key] - 1)
        self._lines[key] = line
        return key

    def _pair(self, table: Key) -> None:
        line, key = self._line(), table
        for part in self._name():
            key = (*key, part)
            self._lines.setdefault(key, line)
        self._at = self._text.index("=", self._at) + 1
        self._value(key)

    def _value(self, key: Key) -> None:
        self._skip_blank()
        self._lines.setdefault(key, self._line())
        if self._sees("["):
            self._list(key)
        elif self._sees("{"):
            self._inline_table(key)
        elif match := _STRING.match(self._text, self._at) or _OTHER.match(self._text, self._at):
            self._at = match.end()

    def _list(self, key: Key) -> None:
        self._at += 1
        position = 0
        while self._skip_blank() >= 0 and not self._sees("]"):
            if self._sees(","):
                self._at += 1
                position += 1
            else:
                self._value((*key, position))
        self._at += 1

    def _inline_table(self, key: Key) -> None:
        self._at += 1
        while self._skip_blank() >= 0 and not self._sees("}"):
            if self._sees(","):
                self._at += 1
            else:
                self._pair(key)
        self._at += 1

    def _name(self) -> list[str]:
        parts = []
        self._skip_blank()
        while match := _PART.match(self._text, self._at):
            self._at = match.end()
            parts.append(_unquoted(match[0]))
            self._skip_blank()
            if not self._sees("."):
                break
            self._at += 1
            self._skip_blank()
        return parts

    def _sees(self, mark: str) -> bool:
        return self._text.startswith(mark, self._at)

    def _skip_blank(self) -> int:
        if match := _BLANK.match(self._text, self._at):
            self._at = match.end()
        return self._at

    def _line(self) -> int:
        return bisect_left(self._ends, self._at) + 1


def _unquoted(part: str) -> str:
    if part[0] not in "\"'":
        return part
    text: str = tomllib.loads(f"key = {part}")["key"]
    return text
