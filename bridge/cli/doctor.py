"""``bridge doctor``: can each target be reached, are its credentials good, and is everything there that is mapped."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Annotated, Any

import typer
from rich.console import Console

from bridge.cli import completing
from bridge.cli.given import CONFIG, AsJson, ConfigPath, settings_of
from bridge.cli.shown import show, show_json, table
from bridge.contract.errors import AnswerLost, Unreachable
from bridge.contract.mail import MAILER
from bridge.contract.outbound import Finding, NeedsOperator, OutboundConnector, Outcome, Receipt, Refused
from bridge.contract.settings import CourseTable, TargetSettings
from bridge.dispatch.attempt import veiled
from bridge.kit.clock import SystemClock
from bridge.kit.http import open_session
from bridge.kit.masking import mask_text, secrets_of, spellings, veil
from config.settings import Settings

_LOOK_THERE = "Look at the target, its address and the network between."
OPENID = "admin.openid"  # no target can be called so
_PATIENCE = 300.0  # seconds for everything that is looked at: a mapping may name hundreds of ids
_COLUMNS = {"target": "target", "what": "what", "ok": "ok", "said": "what it said", "remedy": "remedy"}


def doctor(
    *,
    config: ConfigPath = CONFIG,
    fix: Annotated[bool, typer.Option("--fix", help="Make what is missing at a target and can be made.")] = False,
    only: Annotated[
        str | None, typer.Option("--target", help="Look at this target only.", autocompletion=completing.targets)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Ask every target whether it takes our credentials, has the rights, and knows what is mapped; nothing is changed without --fix."""
    settings = settings_of(config)
    used = {name: given for name, given in settings.targets.items() if given.enabled and only in (None, name)}
    mails = settings.mailer is not None and not settings.mailer.drop and only in (None, MAILER)
    if only is not None and not used and not mails:
        raise typer.BadParameter(f"no such target in use; there are {', '.join(settings.targets) or 'none'}")
    logs_in = settings.admin.openid is not None and only is None
    asked = [*used, *([MAILER] if mails else []), *([OPENID] if logs_in else [])]
    with Console(stderr=True).status(f"asking {', '.join(asked)}"):
        rows = asyncio.run(_examine(settings, used, fix=fix, mails=mails))
        rows += [asyncio.run(_openid(settings))] if logs_in else []
    if as_json:
        show_json(rows)
    elif rows:
        show(table(_COLUMNS, list(_lines(rows)), whole=("target", "ok")))
    else:
        show("no target is in use")
    if not all(row["ok"] for row in rows):
        raise typer.Exit(1)


def _lines(rows: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Yield a line for each target, and one for each thing that is wrong or was mended there."""
    for row in rows:
        findings = row["findings"]
        fine = sum(1 for one in findings if one["ok"])
        looked = f"; {fine} of {len(findings)} things are as they have to be" if findings else ""
        yield {**row, "what": row["connector"], "said": row["said"] + looked}
        yield from ({"target": "", **one} for one in findings if not one["ok"] or one["fixable"])


async def _examine(
    settings: Settings, used: Mapping[str, TargetSettings], *, fix: bool, mails: bool
) -> list[dict[str, Any]]:
    rows = [_target(settings, name, given, fix=fix) for name, given in used.items()]
    return list(await asyncio.gather(*rows, *([_mailer(settings)] if mails else [])))


async def _mailer(settings: Settings) -> dict[str, Any]:
    """Connect to the mail server and log in; no mail is sent."""
    from bridge.app.mailer import mailer_of, secrets, templates_of  # noqa: PLC0415 - as below

    connector = mailer_of(settings, templates_of(settings), SystemClock())
    outcome = await _checked(connector, settings.dispatch.deadline.total_seconds())
    return _row(MAILER, MAILER, outcome, [], spellings(secrets(settings)))


async def _openid(settings: Settings) -> dict[str, Any]:
    """Ask the provider of the console's logins for what it publishes; nobody is logged in."""
    from bridge.app.openid import examined  # noqa: PLC0415 - as below

    outcome, findings = await examined(settings, SystemClock())
    return _row(OPENID, "openid", outcome, findings, ())


async def _target(settings: Settings, name: str, given: TargetSettings, *, fix: bool) -> dict[str, Any]:
    from bridge.app.lanes import connector_of, windows_of  # noqa: PLC0415 - the whole bridge; no other verb should wait for it

    findings: list[Finding] = []
    async with open_session() as session:
        clock = SystemClock()
        connector = connector_of(settings, name, session, clock, windows_of(settings, name, clock))
        outcome = await _checked(connector, settings.dispatch.deadline.total_seconds())
        if isinstance(outcome, Receipt):
            findings = await _looked_at(connector, tables(settings, name, type(connector)), fix=fix)
    return _row(name, given.connector, outcome, findings, spellings(secrets_of(given)))


def _row(
    name: str, kind: str, outcome: Outcome, findings: Sequence[Finding], hidden: tuple[str, ...]
) -> dict[str, Any]:
    (outcome,) = veiled([outcome], [], (), hidden)  # a target may quote our own key at us
    found = [asdict(replace(one, said=mask_text(veil(one.said, hidden)))) for one in findings]
    return {
        "target": name,
        "connector": kind,
        "ok": isinstance(outcome, Receipt) and all(one["ok"] for one in found),
        "said": mask_text(outcome.note if isinstance(outcome, Receipt) else getattr(outcome, "why", "")),
        "remedy": outcome.remedy if isinstance(outcome, NeedsOperator | Refused) else _remedy(outcome),
        "findings": found,
    }


def tables(settings: Settings, target: str, kind: type[OutboundConnector]) -> list[CourseTable]:
    """Return the complete table of every remote course that the mapping leads to at a target, each once."""
    found: dict[str, CourseTable] = {}
    sold: dict[str, list[str]] = {}
    for product in settings.products:
        for key in product.courses:
            sold.setdefault(key, []).append(product.remote_product_id)
    for key, course in settings.courses.items():
        given = course.tables.get(target)
        for product_id in sold.get(key, [""]) if given is not None else ():
            complete = kind.course_for(given, product_id)
            found.setdefault(complete.model_dump_json(), complete)
    return list(found.values())


def _remedy(outcome: Outcome) -> str:
    return "" if isinstance(outcome, Receipt) else _LOOK_THERE


async def _checked(connector: OutboundConnector, seconds: float) -> Outcome:
    try:
        async with asyncio.timeout(seconds):
            return await connector.check()
    except (Unreachable, AnswerLost) as fault:
        return NeedsOperator(str(fault), _LOOK_THERE)
    except TimeoutError:
        return NeedsOperator(f"no answer within {seconds:g} s", _LOOK_THERE)
    except Exception as fault:  # noqa: BLE001 - a defect of one connector must not hide what the others say
        return NeedsOperator(f"the connector failed: {type(fault).__name__}", "Report it: this is a defect.")


async def _looked_at(connector: OutboundConnector, courses: Sequence[CourseTable], *, fix: bool) -> list[Finding]:
    try:
        async with asyncio.timeout(_PATIENCE):
            return list(await connector.examine(courses, fix=fix))
    except (Unreachable, AnswerLost) as fault:
        return [Finding("a closer look", ok=False, said=str(fault), remedy=_LOOK_THERE)]
    except TimeoutError:
        return [Finding("a closer look", ok=False, said=f"not done within {_PATIENCE:g} s", remedy=_LOOK_THERE)]
    except Exception as fault:  # noqa: BLE001 - as above
        said = f"the connector failed: {type(fault).__name__}"
        return [Finding("a closer look", ok=False, said=said, remedy="Report it: this is a defect.")]
