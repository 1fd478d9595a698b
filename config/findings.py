"""Everything that is wrong, or merely odd, with a file: collected, ordered by line, free of secrets."""

from __future__ import annotations

from collections.abc import Iterable

from bridge.contract.errors import Fault
from config.lines import Key, Lines, dotted

_BLANK = "•••"
_SHORTEST_SECRET = 4  # a shorter text would blank parts of ordinary words


class Findings:
    """The faults and warnings of one file."""

    def __init__(self, lines: Lines) -> None:
        """Start without any."""
        self.lines = lines
        self._faults: dict[Fault, None] = {}
        self._warnings: dict[Fault, None] = {}
        self._hidden: set[str] = set()

    @property
    def faults(self) -> tuple[Fault, ...]:
        """What keeps the bridge from starting, in the order of the file."""
        return self._shown(self._faults)

    @property
    def warnings(self) -> tuple[Fault, ...]:
        """What the operator should know, in the order of the file."""
        return self._shown(self._warnings)

    def fault(self, key: Key, message: str) -> None:
        """Note that something at ``key`` can't be used."""
        self._faults[Fault(dotted(key), message, self.lines.of(key))] = None

    def warn(self, key: Key, message: str) -> None:
        """Note that something at ``key`` is probably not meant so."""
        self._warnings[Fault(dotted(key), message, self.lines.of(key))] = None

    def hide(self, secrets: Iterable[str]) -> None:
        """Let none of these texts appear in any message, whoever worded it."""
        self._hidden.update(text for text in secrets if len(text) >= _SHORTEST_SECRET)

    def _shown(self, found: Iterable[Fault]) -> tuple[Fault, ...]:
        clean = [Fault(fault.where, self._without_secrets(fault.message), fault.line) for fault in found]
        return tuple(sorted(clean, key=lambda fault: (fault.line or 0, fault.where, fault.message)))

    def _without_secrets(self, message: str) -> str:
        for text in sorted(self._hidden, key=len, reverse=True):  # the longest first: one may be part of another
            message = message.replace(text, _BLANK)
        return message
