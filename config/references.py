"""Values that stand elsewhere: ``"${NAME}"``, ``{ env = "NAME" }``, ``{ file = "path" }``.

Any value may be one. ``${NAME}`` may also be part of a longer text, such as an address; ``$${`` stands for the
characters ``${`` themselves.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from config.findings import Findings
from config.lines import Key

_REFERENCE = re.compile(r"\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)\}|\$\{")
_PLACEHOLDER = "unset"  # stands for what could not be found, so that the rest of the table can be looked at


class References:
    """Replaces references by what they stand for.

    Attributes:
        used: keys whose value is or holds a reference.
        broken: those of them that lead nowhere; each is a fault already.
    """

    def __init__(self, folder: Path, env: Mapping[str, str], findings: Findings) -> None:
        """Find files relative to ``folder`` and variables in ``env``."""
        self.used: set[Key] = set()
        self.broken: set[Key] = set()
        self._folder = folder
        self._env = env
        self._findings = findings

    def replace(self, value: Any, key: Key = ()) -> Any:
        """Return a copy of what tomllib read, without references."""
        if isinstance(value, str):
            return self._in_text(value, key)
        if isinstance(value, list):
            return [self.replace(item, (*key, position)) for position, item in enumerate(value)]
        if not isinstance(value, dict):
            return value
        match value:
            case {"env": str(name)} if len(value) == 1:
                return self._variable(name, key)
            case {"file": str(path)} if len(value) == 1:
                return self._file(path, key)
        return {name: self.replace(item, (*key, name)) for name, item in value.items()}

    def _in_text(self, text: str, key: Key) -> str:
        return _REFERENCE.sub(lambda match: self._matched(match, key), text)

    def _matched(self, match: re.Match[str], key: Key) -> str:
        if match[0] == "$${":
            return "${"
        if match[1]:
            return self._variable(match[1], key)
        return self._nothing(
            key, "expected the name of an environment variable, as in ${NAME}; for the characters themselves write $${"
        )

    def _variable(self, name: str, key: Key) -> str:
        self.used.add(key)
        text = self._env.get(name)
        if not text:
            state = "not set" if text is None else "empty"
            return self._nothing(key, f"the environment variable {name} is {state}")
        self._findings.hide([text])
        return text

    def _file(self, written: str, key: Key) -> str:
        self.used.add(key)
        path = self._folder / self._in_text(written, key)
        if key in self.broken:
            return _PLACEHOLDER
        try:
            text = path.read_text(encoding="utf-8").rstrip("\r\n")
            mode = path.stat().st_mode
        except UnicodeDecodeError:
            return self._nothing(key, f"the file '{written}' is not UTF-8 text")
        except OSError as fault:
            return self._nothing(key, f"the file '{written}' can't be read: {fault.strerror}")
        if not text:
            return self._nothing(key, f"the file '{written}' is empty")
        if mode & stat.S_IROTH:
            self._findings.warn(key, f"every user of this machine can read the file '{written}'; make it mode 0600")
        self._findings.hide([text])
        return text

    def _nothing(self, key: Key, message: str) -> str:
        self.broken.add(key)
        self._findings.fault(key, message)
        return _PLACEHOLDER
