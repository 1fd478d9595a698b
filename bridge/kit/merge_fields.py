"""Merge fields that a sender did not replace: ``~Contact.Email~``, ``{{email}}``, ``*|EMAIL|*``, ``%EMAIL%``.

The likeliest mistake of whoever sets up a sender; said as such, because "must be an e-mail address" would not help.
"""

from __future__ import annotations

import re

NOT_REPLACED = "is a merge field that was not replaced by its value; check how the sender spells it"

_LONGEST = 500
_MERGE_FIELD = re.compile(
    r"\{.+\}|\[.+\]|<.+>|%.+%|\*\|.*\|\*|~.+~|#.+#|\$\{?[A-Za-z_.]+\}?",
    re.DOTALL,
)


def left_over(text: str) -> bool:
    """Say whether a text is nothing but a merge field."""
    return len(text) <= _LONGEST and _MERGE_FIELD.fullmatch(text) is not None
