"""People's names as senders write them: in one field or two, escaped for HTML, empty, in any script."""

from __future__ import annotations

from html import unescape

_LONGEST = 500


def clean(name: str) -> str:
    """Return a name without HTML escapes and superfluous white space."""
    return " ".join(unescape(name).split())[:_LONGEST]


def split(name: str) -> tuple[str, str]:
    """Return first and last name of a name in one field: the last word is the last name, one word alone the first.

    A convention, not a truth: no rule fits all names. It loses nothing, because the two put together are the name again.
    """
    first, _, last = clean(name).rpartition(" ")
    return (first, last) if first else (last, "")


def first_and_last(first: str, last: str, whole: str = "") -> tuple[str, str]:
    """Return first and last name, from ``whole`` where the sender gives neither of the two."""
    first, last = clean(first), clean(last)
    return (first, last) if first or last else split(whole)
