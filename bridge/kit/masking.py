"""Keeps secrets and learner data out of logs, errors and records of what was sent."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Literal
from urllib.parse import quote, quote_plus, unquote

import orjson
from pydantic import BaseModel, SecretStr

BLANK = "•••"

_DEEPEST = 32  # levels of a record; nobody reads further, and a hostile answer may be a thousand deep

# A local part ends before the signs that separate fields of addresses and of JSON. Where one of those stands right before
# the @, it belongs to the address after all, and everything back to a space or a quotation mark does. An apostrophe
# between two letters is a name's, as in o'brien@: a few of them, lest a text full of them be read over and over.
_SEPARATE = r"\s@:/?&=<>\"'(),;\[\]{}|"
_DOMAIN = rf"([^{_SEPARATE}.]+(?:\.[^{_SEPARATE}.]+)*)"
_LOOSE = r"\s@\"<>(),;:\[\]"
_EMAIL = re.compile(
    rf"(?<![^{_SEPARATE}])([^{_SEPARATE}]+(?:'[^{_SEPARATE}]+){{0,3}})(?:@|%40){_DOMAIN}"
    rf"|(?<![^{_LOOSE}])([^{_LOOSE}]*[/?&='{{}}|])(?:@|%40){_DOMAIN}",
    re.IGNORECASE,
)
_SECRET_NAME = re.compile(
    r"(^|[_.-])(api_?key|apikey|key|secret|token|password|passwd|authorization|signature|assertion|credential)s?($|[_.-])",
    re.IGNORECASE,
)
_SECRET_PAIR = re.compile(
    r"((?:api_?key|apikey|secret|token|password|passwd|assertion|signature|\bkey)[\"']?\s*[=:]\s*)"
    r"(?:\"((?:\\.|[^\"\\])+)(?:\"|$)|'((?:\\.|[^'\\])+)(?:'|$)|[\"']?[^&\s\"']*[^&\s\"',}\])])",
    re.IGNORECASE,
)
_SECRET_WORDS = ("key", "secret", "token", "passw", "assertion", "signature")  # one of them stands in every such pair
# "Basic" is also a word of course titles: only what looks encoded counts as a credential after it.
_BEARER = re.compile(r"\b((?i:bearer)|(?i:basic)(?=\s+[A-Za-z0-9+/=_-]*(?:[0-9=]|[a-z][A-Z])))\s+[^\s\"',;<>]{6,}")
_PERSONAL = re.compile(
    r"^(e?_?mail.*|email_?address|(first|last|full|sur|given|sortable|short|display|nick|user)_?name|fname|lname|name|phone.*|mobile.*|address.*|search_?term|submitted_value)$",
    re.IGNORECASE,
)
_SHORTEST_HIDDEN = 3  # characters: what is shorter tells nothing, and stands in half of all words
_LONG = 6  # characters from which on a value is hidden inside of longer words, too: "Ann" is also a part of "cannot"
_MAY_BE_CUT = 200  # characters: a shorter quotation was not cut
_BEFORE_WORD = r"(?:(?<![^\W_])|(?<=%[0-9a-f]{2})|(?<=\\[nrt]))"
_AFTER_WORD = r"(?![^\W_])"
_PLAIN = re.compile(r"[A-Za-z0-9@._-]+")
_PIECES = re.compile(r"[\s\"'=:&,;]+")
_LAST_WORD = re.compile(r"[^\s\"'&,;<>]*$")


def mask_text(text: str) -> str:
    """Return the text with e-mail addresses, bearer tokens and ``secret=...`` pairs made unreadable.

    An address keeps its first letter and its domain's last part, so that an operator can still tell two apart.
    """
    if text.isalnum() or not text:
        return text
    if "@" in text or "%40" in text:
        text = _EMAIL.sub(_masked_address, text)
    low = text.lower()  # a look for the words first: most texts have none of them, and the patterns are slow
    if "bearer" in low or "basic" in low:
        text = _BEARER.sub(_masked_credential, text)
    if ("=" in text or ":" in text) and any(word in low for word in _SECRET_WORDS):
        text = _SECRET_PAIR.sub(_masked_pair, text)
    return text


def excerpt(text: str, most: int) -> str:
    """Return at most that much of the beginning of a text, masked; a word that the cut made unrecognisable is left out."""
    part = text[: most + 512]
    masked = mask_text(part)
    if len(part) < len(text):
        masked = _LAST_WORD.sub("", masked)
    return masked[:most]


def secret_name(name: str) -> bool:
    """Say whether a field of this name holds a secret."""
    return _kind(name) == "secret"


@lru_cache(maxsize=4_096)
def _kind(name: str) -> Literal["secret", "personal", "plain"]:
    if name.endswith("]") and (inner := name[name.rfind("[") + 1 : -1]) and not inner.isdigit():
        name = inner  # of a form's `users[0][lastname]` the last part names the field
    if _SECRET_NAME.search(name) or name == "wstoken":
        return "secret"
    return "personal" if _PERSONAL.match(name) else "plain"


def mask(value: Any, name: str = "", depth: int = 0) -> Any:
    """Return a copy of a JSON-like value without secrets and learner data, judged by field name and by form.

    What stands below a personal field is personal; what is nested too deep to be read is left out.
    """
    kind = _kind(name) if name else "plain"
    if kind == "secret" or depth > _DEEPEST:
        return BLANK
    if isinstance(value, str):
        return BLANK if kind == "personal" and value else mask_text(value)
    if isinstance(value, Mapping):
        return {_masked_key(key): _member(str(key), item, name, kind, depth) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [mask(item, name, depth + 1) for item in value]
    if kind == "personal" and value is not None and not isinstance(value, bool):
        return BLANK
    return value


def whole(text: str) -> str:
    """Return text that can be written down: what was no UTF-8 in an answer's header arrives as half a surrogate pair."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _masked_key(key: Any) -> str:
    text = str(key)
    return text if text.isidentifier() else mask_text(text)


def _member(key: str, item: Any, name: str, kind: str, depth: int) -> Any:
    below = name if kind == "personal" and _kind(key) != "secret" else key
    return mask(item, below, depth + 1)


def mask_url(url: str) -> str:
    """Return an address fit for a log: path and query without secrets and e-mail addresses, without user info."""
    head, mark, query = url.partition("?")
    scheme, separator, rest = head.partition("://")
    if separator:
        host, slash, path = rest.partition("/")
        head = f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"
    pairs = [pair.partition("=") for pair in query.split("&")]
    return mask_text(head) + mark + "&".join(_masked_parameter(*pair) for pair in pairs)


def secrets_of(settings: Any) -> Iterator[str]:
    """Yield every secret that stands in a settings model, however deep, in the clear: whole, and its longer pieces.

    Of a secret with an equals sign or a space in it, :func:`mask_text` may blank one piece and leave the others.
    """
    if isinstance(settings, SecretStr):
        whole = settings.get_secret_value()
        yield whole
        yield from (piece for piece in _PIECES.split(whole) if _LONG <= len(piece) < len(whole))
    elif isinstance(settings, BaseModel):
        for name in type(settings).model_fields:
            yield from secrets_of(getattr(settings, name))
    elif isinstance(settings, Mapping):
        yield from secrets_of(list(settings.values()))
    elif isinstance(settings, list | tuple):
        for item in settings:
            yield from secrets_of(item)


Hidden = tuple[tuple[str, str], ...]
"""What is to be hidden: each spelling, and the same in lower case."""


def spellings(values: Iterable[str]) -> Hidden:
    """Return the spellings in which a target may quote the values back, longest first; for :func:`veil`.

    As they are, escaped as in JSON and HTML, and quoted as in addresses and forms. Values under three characters are
    left out.
    """
    found: set[str] = set()
    for value in {value.strip() for value in values}:
        if len(value) < _SHORTEST_HIDDEN:
            continue
        found.add(value)
        if _PLAIN.fullmatch(value):  # as nearly all addresses are: only the @ is ever spelt otherwise
            found.add(value.replace("@", "%40"))
        else:
            found |= {json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1], " ".join(value.split())}
            found |= {quote(value), quote(value, safe=""), quote_plus(value), html.escape(value)}
    return tuple([(value, value.lower()) for value in sorted(found, key=len, reverse=True)])


def veil(text: str, hidden: Hidden) -> str:
    """Return the text with known values blanked, in whatever case: the net below the rules that go by name and form.

    Args:
        text: as a target or a connector worded it; perhaps cut off in the middle of a value.
        hidden: from :func:`spellings`.
    """
    if not text:
        return text
    low = text.lower()
    for value, sought in hidden:
        if sought in low:
            text = re.sub(_whole(value), BLANK, text, flags=re.IGNORECASE)
    return _without_cut_value(text, hidden) if len(text) >= _MAY_BE_CUT else text


def veil_value(value: Any, hidden: Hidden) -> Any:
    """Return a JSON-like value with known values blanked, in its texts, keys and numbers; see :func:`veil`."""
    if isinstance(value, str):
        return veil(value, hidden)
    if value is None or isinstance(value, bool) or not _holds(value, hidden):
        return value
    return _veiled(value, hidden)


def _holds(value: Any, hidden: Hidden) -> bool:
    """Say whether it is worth looking for them in every corner of the value."""
    try:
        low = orjson.dumps(value).decode().lower()
    except orjson.JSONEncodeError:
        return True
    return any(sought in low for _, sought in hidden)


def _veiled(value: Any, hidden: Hidden) -> Any:
    if isinstance(value, str):
        return veil(value, hidden)
    if isinstance(value, Mapping):
        return {veil(str(key), hidden): _veiled(item, hidden) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_veiled(item, hidden) for item in value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        # A telephone number may come back as a number; short ones are counts, prices and ids.
        return BLANK if len(digits := str(value)) >= _LONG and (digits, digits.lower()) in hidden else value
    return value


def _whole(value: str) -> str:
    pattern = re.escape(value)
    short = len(value) < _LONG and value.isascii()  # there are no spaces between words in Chinese
    return f"{_BEFORE_WORD}{pattern}{_AFTER_WORD}" if short else pattern


def _without_cut_value(text: str, hidden: Hidden) -> str:
    """Blank the beginning of a value at the end of a text: where the text was cut, the rest of the value is missing."""
    low = text.lower()
    for _, start in hidden:
        if start[:_SHORTEST_HIDDEN] not in low[-len(start) :]:
            continue
        for length in range(min(len(start) - 1, len(low)), _SHORTEST_HIDDEN - 1, -1):
            before = low[-length - 1 : -length]
            if low.endswith(start[:length]) and not before.isalnum():
                return text[:-length] + BLANK
    return text


def _masked_parameter(name: str, equals: str, value: str) -> str:
    if equals and _kind(unquote(name)) != "plain":
        return f"{mask_text(name)}={BLANK}"
    plain = unquote(value)
    masked = mask_text(plain)
    if masked == plain:
        return f"{mask_text(name)}{equals}{value}"
    # Shown in clear, but for the signs that would end the parameter.
    return f"{mask_text(name)}{equals}{masked.replace('%', '%25').replace('&', '%26')}"


def _masked_address(match: re.Match[str]) -> str:
    local, domain = (match[1], match[2]) if match[1] is not None else (match[3], match[4])
    _, dot, last = domain.rpartition(".")
    first = "" if local[0] == BLANK[0] else local[0]  # it was masked before
    return f"{first}{BLANK}@{BLANK}{dot}{last if dot else ''}"


def _masked_credential(match: re.Match[str]) -> str:
    return f"{match[1]} {BLANK}"


def _masked_pair(match: re.Match[str]) -> str:
    quote = '"' if match[2] is not None else "'" if match[3] is not None else ""
    return f"{match[1]}{quote}{BLANK}{quote}"
