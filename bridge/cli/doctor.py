"""``bridge doctor``: can each target be reached, and are its credentials good."""

from __future__ import annotations

import asyncio
from typing import Any

import typer

from bridge import registry
from bridge.cli.given import CONFIG, AsJson, ConfigPath, settings_of
from bridge.cli.shown import show, show_json, table
from bridge.contract.errors import AnswerLost, Unreachable
from bridge.contract.outbound import NeedsOperator, Outcome, Receipt, Refused
from bridge.contract.settings import TargetSettings
from bridge.dispatch.attempt import veiled
from bridge.kit.clock import SystemClock
from bridge.kit.http import Http, Windows, open_session
from bridge.kit.masking import mask_text, secrets_of, spellings
from config.settings import Settings

_LOOK_THERE = "Look at the target, its address and the network between."


def doctor(*, config: ConfigPath = CONFIG, as_json: AsJson = False) -> None:
    """Ask every target, with one harmless request, whether it can be reached and takes our credentials."""
    settings = settings_of(config)
    rows = asyncio.run(_examine(settings))
    if as_json:
        show_json(rows)
    elif rows:
        columns = {"target": "target", "connector": "connector", "ok": "ok", "said": "what it said", "remedy": "remedy"}
        show(table(columns, rows, whole=("target", "connector", "ok")))
    else:
        show("no target is in use")
    if not all(row["ok"] for row in rows):
        raise typer.Exit(1)


async def _examine(settings: Settings) -> list[dict[str, Any]]:
    from bridge.app import request_timeout  # noqa: PLC0415 - the whole bridge; no other verb should wait for it

    seconds = settings.dispatch.deadline.total_seconds()
    used = {name: given for name, given in settings.targets.items() if given.enabled}
    outcomes = await asyncio.gather(
        *(_outcome(given, request_timeout(settings, name), seconds) for name, given in used.items())
    )
    return [
        {
            "target": name,
            "connector": given.connector,
            "ok": isinstance(outcome, Receipt),
            "said": mask_text(outcome.note if isinstance(outcome, Receipt) else getattr(outcome, "why", "")),
            "remedy": outcome.remedy if isinstance(outcome, NeedsOperator | Refused) else _remedy(outcome),
        }
        for (name, given), outcome in zip(used.items(), outcomes, strict=True)
    ]


def _remedy(outcome: Outcome) -> str:
    return "" if isinstance(outcome, Receipt) else _LOOK_THERE


async def _outcome(given: TargetSettings, per_request: float, seconds: float) -> Outcome:
    clock = SystemClock()
    kind = registry.connector_class(given.connector)
    async with open_session() as session:
        limiter = Windows(given.rate_limit or kind.rate_limit, clock)
        connector: Any = kind(given, Http(given.base_url, limiter, per_request, session), clock)
        try:
            async with asyncio.timeout(seconds):
                outcome: Outcome = await connector.check()
        except (Unreachable, AnswerLost) as fault:
            return NeedsOperator(str(fault), _LOOK_THERE)
        except TimeoutError:
            return NeedsOperator(f"no answer within {seconds:g} s", _LOOK_THERE)
        except Exception as fault:  # noqa: BLE001 - a defect of one connector must not hide what the others say
            return NeedsOperator(f"the connector failed: {type(fault).__name__}", "Report it: this is a defect.")
        (shown,) = veiled([outcome], [], (), spellings(secrets_of(given)))  # a target may quote our own key at us
        return shown
