"""The body of a form that a browser posts: no longer and no slower than anybody needs."""

from __future__ import annotations

import asyncio

from aiohttp import web


async def bounded_body(request: web.Request, most: int, seconds: float) -> bytes | None:
    """Return the body, or None where it is longer than ``most`` bytes, takes more than ``seconds``, or breaks off."""
    if request.content_length is not None and request.content_length > most:
        return None
    body = b""
    try:
        async with asyncio.timeout(seconds):
            async for part in request.content.iter_any():
                body += part
                if len(body) > most:
                    return None
    except (TimeoutError, ConnectionError):  # whoever broke off hears no answer
        return None
    return body
