"""What browsers send: the fields of a form, and the page that somebody wants to come back to."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import parse_qsl

from aiohttp import web

from bridge.edge.bounded import bounded_body
from bridge.edge.console.access import PATH

Form = dict[str, str]

MOST_BYTES: Final = 64 * 1024
BODY_SECONDS: Final = 30.0
HOME: Final = f"{PATH}/"
_OURS: Final = re.compile(r"/console/(?!openid)[a-z]{0,20}(/[a-z0-9][a-z0-9_-]{0,99})?")


def way_back(said: str) -> str:
    """Return a page of ours: the one that was asked for, or the first one."""
    return said if _OURS.fullmatch(said) else HOME


async def form_of(request: web.Request, most: int = MOST_BYTES) -> Form | None:
    """Return the fields of a form, or None where it is too long or too slow; of what is no form, none."""
    body = await bounded_body(request, most, BODY_SECONDS)
    if body is None:
        return None
    try:
        pairs = parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=50)
    except ValueError:
        return {}
    # NUL is in no text of a ledger, and PostgreSQL can't even be asked for one.
    return {name: value.replace("\0", "\N{REPLACEMENT CHARACTER}") for name, value in pairs}
