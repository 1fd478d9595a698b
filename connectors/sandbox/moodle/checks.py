"""How a Moodle site reads a form, and what it checks before a function runs."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

_LONGEST = 100  # characters of a user name, an address and each name


class Fault(Exception):
    """An exception that the server answers with."""

    def __init__(self, code: str, kind: str = "moodle_exception", debug: str = "") -> None:
        """Keep code, class and the reason that only a debugging site tells."""
        super().__init__(code)
        self.code, self.kind, self.debug = code, kind, debug


def nested(pairs: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Read fields as PHP does; what has only numbers for names becomes a list."""
    root: dict[str, Any] = {}
    for name, value in pairs:
        head, *rest = re.findall(r"[^\[\]]+", name)
        place = root
        for key in rest:
            place = place.setdefault(head, {})
            head = key
        place[head] = value
    return {name: _listed(value) for name, value in root.items()}


def _listed(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    parts = {name: _listed(part) for name, part in value.items()}
    return list(parts.values()) if all(name.isdigit() for name in parts) else parts


def invalid(debug: str) -> Fault:
    """Return the exception whose reason only a debugging site tells."""
    return Fault("invalidparameter", "invalid_parameter_exception", debug)


def only(params: Mapping[str, Any], known: set[str] | frozenset[str]) -> None:
    """Refuse fields that the function does not know."""
    if unexpected := set(params) - known:
        raise invalid(f"Unexpected keys ({', '.join(sorted(unexpected))}) detected in parameter array.")


def rows_of(params: Mapping[str, Any], name: str) -> list[dict[str, str]]:
    """Return the rows of a list of structures."""
    rows = params.get(name)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise invalid(f"Only arrays accepted: {name}")
    return rows


def integer(text: str) -> int:
    """Return a whole number."""
    if not re.fullmatch(r"-?\d+", str(text)):
        raise invalid(f"Invalid external api parameter: the value is {text}, the server was expecting int type")
    return int(text)


def checked(name: str, value: str) -> None:
    """Refuse what the type check of the field would alter, and what its column can not hold."""
    altered = {
        "id": not str(value).isdigit(),
        "username": re.fullmatch(r"[a-z0-9._@-]+", value) is None,
        "email": re.fullmatch(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+", value) is None,
        "firstname": "<" in value,
        "lastname": "<" in value,
    }
    if altered.get(name, False):
        raise invalid(f"Invalid external api parameter: {name}")
    if name in ("username", "email", "firstname", "lastname") and len(value) > _LONGEST:
        raise Fault("dmlwriteexception", "dml_write_exception")


def folded(text: str) -> str:
    """Return a text as a usual database compares it: without case and accents."""
    return "".join(sign for sign in unicodedata.normalize("NFKD", text) if not unicodedata.combining(sign)).casefold()


def strong(password: str) -> bool:
    """Say whether the usual password policy takes it."""
    return len(password) >= 8 and all(re.search(part, password) for part in ("[a-z]", "[A-Z]", "[0-9]", "[^a-zA-Z0-9]"))
