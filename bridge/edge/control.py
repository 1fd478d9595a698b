"""The local socket: how a verb on the command line asks the running daemon, who alone writes to its ledger."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

import orjson
from aiohttp import web
from pydantic import ValidationError

from bridge.actions import ActionRefused, Actions
from bridge.contract.errors import ConfigError, LedgerError

_LONGEST_PATH = 100  # the kernel takes 107 bytes


def socket_path(ledger_file: Path) -> Path:
    """Return where the socket of a ledger is: beside it, or in the temporary folder where that path is too long."""
    beside = ledger_file.absolute().with_name(ledger_file.name + ".sock")
    if len(str(beside).encode()) <= _LONGEST_PATH:
        return beside
    digest = hashlib.sha256(str(beside).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"bridge-{digest}.sock"


def control_application(actions: Actions) -> web.Application:
    """Build what listens on the socket: ``POST /actions/{name}`` with ``{"operator", "arguments"}``."""

    async def act(request: web.Request) -> web.Response:
        try:
            asked = orjson.loads(await request.read())
            done = await actions.act(request.match_info["name"], asked["arguments"], str(asked["operator"]))
        except (orjson.JSONDecodeError, KeyError, TypeError):
            return web.json_response({"error": "expected {operator, arguments} as JSON"}, status=400)
        except ValidationError as fault:
            faults = {".".join(str(part) for part in error["loc"]): error["msg"] for error in fault.errors()}
            return web.json_response(
                {"error": "; ".join(f"{name}: {text}" for name, text in faults.items())}, status=422
            )
        except (ActionRefused, ConfigError) as fault:
            return web.json_response({"error": str(fault)}, status=422)
        except LedgerError as fault:
            return web.json_response({"error": str(fault)}, status=503)
        return web.Response(body=orjson.dumps({"done": done}, default=str), content_type="application/json")

    app = web.Application()
    app.router.add_post("/actions/{name}", act)
    return app
