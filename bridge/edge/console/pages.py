"""Pages as they leave us: rendered, escaped, and under headers that let nothing else in."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import jinja2
import orjson
from aiohttp import web
from markupsafe import Markup

from bridge.edge.console import words
from bridge.edge.console.access import Visitor
from bridge.edge.masked import plain

_HERE: Final = Path(__file__).parent
_TYPES: Final = {"console.css": "text/css", "htmx.min.js": "text/javascript", "live.js": "text/javascript"}
_ASSETS: Final = {name: (_HERE / "assets" / name).read_bytes() for name in _TYPES}
_DIGESTS: Final = {name: hashlib.sha256(body).hexdigest()[:12] for name, body in _ASSETS.items()}
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'"
    " data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex",
}
LIVE_HEADERS: Final = {**_HEADERS, "Content-Type": "text/event-stream; charset=utf-8", "X-Accel-Buffering": "no"}
"""Headers of a stream of events."""


def _shown(value: Any) -> Any:
    return value if isinstance(value, Markup) else plain(value)


def _coded(text: str) -> Markup:
    """Return a sentence with what stands between backticks set as code."""
    return Markup("").join(
        Markup("<code>{}</code>").format(plain(part)) if at % 2 else Markup("{}").format(plain(part))
        for at, part in enumerate(text.split("`"))
    )


_TEMPLATES: Final = jinja2.Environment(
    loader=jinja2.FileSystemLoader(_HERE / "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    finalize=_shown,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.globals["assets"] = {name: f"/console/assets/{name}?{digest}" for name, digest in _DIGESTS.items()}
_TEMPLATES.filters.update(
    span=words.span,
    number=words.number,
    coded=_coded,
    pretty=lambda value: value if isinstance(value, str) else orjson.dumps(value, option=orjson.OPT_INDENT_2).decode(),
)


def warm() -> None:
    """Translate the templates, which takes longer than to fill them in: so that the first page is as quick as the next."""
    for name in _TEMPLATES.list_templates(["html"]):
        _TEMPLATES.get_template(name)


def page(
    template: str,
    visitor: Visitor | None,
    /,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    **values: Any,
) -> web.Response:
    """Return a page; ``values`` are what its template shows, masked already."""
    text = _TEMPLATES.get_template(f"{template}.html").render(visitor=visitor, **values)
    return web.Response(
        status=status, text=text, content_type="text/html", charset="utf-8", headers={**_HEADERS, **(headers or {})}
    )


def said(visitor: Visitor | None, status: int, heading: str, *sentences: str, **headers: str) -> web.Response:
    """Return a page that only says something."""
    return page(
        "said",
        visitor,
        status=status,
        headers={name.replace("_", "-"): value for name, value in headers.items()},
        heading=heading,
        sentences=sentences,
    )


def elsewhere(address: str) -> web.Response:
    """Send the browser to another page; another site is not told where it comes from."""
    return web.Response(status=303, headers={**_HEADERS, "Location": address})


def asset(name: str) -> web.Response | None:
    """Return a file of ours; it may be kept, because its address changes with it."""
    if name not in _ASSETS:
        return None
    headers = {**_HEADERS, "Cache-Control": "public, max-age=31536000, immutable"}
    return web.Response(body=_ASSETS[name], content_type=_TYPES[name], charset="utf-8", headers=headers)
