"""Reading what a sender wrote, without trust: any value may be absent, or of the wrong kind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from bridge.contract.command import EnrollmentCommand
from bridge.contract.errors import PayloadInvalid

_LARGEST = 2**63 - 1
_YEAR_9999 = 253_402_300_799


class Payload:
    """A value of a JSON body or a form, and where it stands.

    What is absent and what is of the wrong kind read the same: as nothing. Only the ``needed_`` methods raise, with the
    field's name as the sender writes it.
    """

    __slots__ = ("_path", "value")

    def __init__(self, value: Any, path: str = "") -> None:
        """Wrap ``value``, which stands at ``path``."""
        self.value = value
        self._path = path

    def __bool__(self) -> bool:
        """Whether there is anything."""
        return self.value not in (None, "", [], {})

    def __iter__(self) -> Iterator[Payload]:
        """Go through a list; anything else is an empty one."""
        for place, item in enumerate(self.value if isinstance(self.value, list) else ()):
            yield Payload(item, f"{self._path}.{place}" if self._path else str(place))

    def at(self, path: str) -> Payload:
        """Return what stands at a dotted path of object keys."""
        return Payload(_stands(self.value, path), self._named(path))

    def text(self, *paths: str) -> str:
        """Return the first of these that is text or a whole number and not empty, as text without white space around it.

        It is without NUL characters too, which no database's text can hold.
        """
        for path in paths or ("",):
            value = _stands(self.value, path) if path else self.value
            if value is None:
                continue
            if isinstance(value, int) and not isinstance(value, bool):
                return str(value) if abs(value) <= _LARGEST else ""
            if isinstance(value, str) and (stripped := value.replace("\0", "").strip()):
                return stripped
        return ""

    def maybe(self, *paths: str) -> str | None:
        """Return as :meth:`text`, or None where there is none."""
        return self.text(*paths) or None

    def needed_text(self, *paths: str) -> str:
        """Return as :meth:`text`.

        Raises:
            PayloadInvalid: there is none; the first path is named.
        """
        found = self.text(*paths)
        if not found:
            raise PayloadInvalid({self._named(paths[0]) if paths else self._path: "is missing"})
        return found

    def whole(self, path: str, default: int = 0) -> int:
        """Return a whole number, also one written as text."""
        text = self.text(path)
        return int(text) if text.lstrip("-").isascii() and text.lstrip("-").isdigit() and len(text) < 19 else default

    def flag(self, path: str) -> bool:
        """Return whether something is true: ``true``, ``1``, ``"true"``, ``"1"``, ``"yes"``."""
        value = _stands(self.value, path)
        return value is True or (not isinstance(value, bool) and self.text(path).lower() in ("1", "true", "yes"))

    def moment(self, path: str) -> datetime | None:
        """Return a time: seconds since 1970, or ISO 8601 with any number of decimals; one without a zone is UTC."""
        value = _stands(self.value, path)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value, UTC) if 0 < value < _YEAR_9999 else None
        text = self.text(path)
        if text.isascii() and text.isdigit() and 9 <= len(text) <= 11:
            return datetime.fromtimestamp(int(text), UTC)
        return parsed(text)

    def _named(self, path: str) -> str:
        return f"{self._path}.{path}" if self._path else path


def _stands(value: Any, path: str) -> Any:
    for name in path.split("."):
        # Nearly always a plain dict, and asking an abstract class costs more than all the rest.
        if value.__class__ is not dict and not isinstance(value, Mapping):
            return None
        value = value.get(name)
    return value


def parsed(text: str) -> datetime | None:
    """Return an ISO 8601 time, also one with nine decimals; None for anything else. One without a zone is UTC."""
    try:
        found = datetime.fromisoformat(text)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def command(**values: Any) -> EnrollmentCommand:
    """Return the command, validated.

    Raises:
        PayloadInvalid: a value can't be used; the command's field is named.
    """
    try:
        return EnrollmentCommand.model_validate(values)
    except ValidationError as error:
        faults = {
            ".".join(str(step) for step in wrong["loc"]) or "body": wrong["msg"].removeprefix("Value error, ")
            for wrong in error.errors(include_url=False, include_context=False, include_input=False)
        }
        raise PayloadInvalid(faults) from None
