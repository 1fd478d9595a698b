"""A close look at one target: can it be reached, are the credentials good, is everything there that is mapped.

One place for ``bridge doctor``, the console and the API. The verb looks by the file as it stands, through a connection of its
own; a running bridge looks by what it works by, within the rate limit of its lane.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any, Final

from bridge.actions import ActionRefused
from bridge.app import openid
from bridge.app.lanes import connector_of, windows_of
from bridge.app.mailer import mailer_of, secrets, templates_of
from bridge.contract.errors import AnswerLost, Unreachable
from bridge.contract.mail import MAILER
from bridge.contract.outbound import Finding, NeedsOperator, OutboundConnector, Outcome, Receipt, Refused
from bridge.contract.settings import CourseTable
from bridge.dispatch.attempt import veiled
from bridge.kit.clock import SystemClock
from bridge.kit.http import Limiter, open_session
from bridge.kit.masking import Hidden, mask_text, secrets_of, spellings, veil
from config.settings import Settings

PATIENCE: Final = 300.0
"""Seconds for everything that the verb looks at: a mapping may name hundreds of ids."""

OPENID: Final = "admin.openid"
"""What stands for the provider of the console's logins where targets are named; no target can be called so."""

_LOOK: Final = 30.0  # seconds, of a running bridge: somebody waits for the page
_LOOK_THERE: Final = "Look at the target, its address and the network between."


async def examined(
    settings: Settings,
    name: str,
    *,
    fix: bool = False,
    patience: float = PATIENCE,
    limiter: Limiter | None = None,
) -> dict[str, Any]:
    """Look at one target, at the mail server, to which no mail is sent, or at the OpenID provider, where nobody logs in.

    Args:
        settings: that have it.
        name: of the target, or ``mailer``, or ``admin.openid``.
        fix: make what is missing there and can be made.
        patience: seconds for all of it.
        limiter: whose tokens the requests take; default: one of its own.

    Returns:
        ``target``, ``connector``, ``ok``, ``said``, ``remedy``, and ``findings``: each a thing that was looked at. No secrets.
    """
    if name == OPENID:
        outcome, findings = await openid.examined(settings, SystemClock())
        return _row(OPENID, "openid", outcome, findings, ())
    if name == MAILER:
        return await _mailer(settings, patience)
    given, findings, clock = settings.targets[name], [], SystemClock()
    loop = asyncio.get_running_loop()
    ends = loop.time() + patience
    async with open_session() as session:
        tokens = limiter if limiter is not None else windows_of(settings, name, clock)
        connector = connector_of(settings, name, session, clock, tokens)
        outcome = await _checked(connector, min(settings.dispatch.deadline.total_seconds(), patience))
        if isinstance(outcome, Receipt):
            tables = tables_of(settings, name, type(connector))
            findings = await _looked_at(connector, tables, max(0.0, ends - loop.time()), fix=fix)
    return _row(name, given.connector, outcome, findings, spellings(secrets_of(given)))


class Doctor:
    """Looks at targets for a running bridge, by what it works by and within its rate limits, until it stops."""

    def __init__(self, settings: Callable[[], Settings], limiter: Callable[[str], Limiter | None]) -> None:
        """Take the newest ``settings``, and for each target the ``limiter`` of its lane, where there is one."""
        self._settings = settings
        self._limiter = limiter
        self._looks: set[asyncio.Task[dict[str, Any]]] = set()
        self._closed = False

    async def examine(self, target: str) -> dict[str, Any]:
        """Look closely at a target, as :func:`examined` does, for as long as somebody waits for a page.

        Raises:
            ActionRefused: the bridge stops.
        """
        look = asyncio.create_task(
            examined(self._settings(), target, patience=_LOOK, limiter=self._limiter(target)), name=f"doctor:{target}"
        )
        self._looks.add(look)
        look.add_done_callback(self._looks.discard)
        try:
            return await look
        except asyncio.CancelledError:
            if not self._closed:
                raise
            raise ActionRefused("the bridge is stopping") from None
        finally:
            look.cancel()

    def close(self) -> None:
        """End what is under way: a target that does not answer must not hold up the end."""
        self._closed = True
        for look in self._looks:
            look.cancel()


async def _mailer(settings: Settings, patience: float) -> dict[str, Any]:
    """Connect to the mail server and log in."""
    connector = mailer_of(settings, templates_of(settings), SystemClock())
    outcome = await _checked(connector, min(settings.dispatch.deadline.total_seconds(), patience))
    return _row(MAILER, MAILER, outcome, [], spellings(secrets(settings)))


def _row(name: str, kind: str, outcome: Outcome, findings: Sequence[Finding], hidden: Hidden) -> dict[str, Any]:
    (outcome,) = veiled([outcome], (), hidden)  # a target may quote our own key at us
    found = [asdict(replace(one, said=mask_text(veil(one.said, hidden)))) for one in findings]
    return {
        "target": name,
        "connector": kind,
        "ok": isinstance(outcome, Receipt) and all(one["ok"] for one in found),
        "said": mask_text(outcome.note if isinstance(outcome, Receipt) else getattr(outcome, "why", "")),
        "remedy": outcome.remedy if isinstance(outcome, NeedsOperator | Refused) else _remedy(outcome),
        "findings": found,
    }


def tables_of(settings: Settings, target: str, kind: type[OutboundConnector]) -> list[CourseTable]:
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


async def _looked_at(
    connector: OutboundConnector, courses: Sequence[CourseTable], seconds: float, *, fix: bool
) -> list[Finding]:
    try:
        async with asyncio.timeout(seconds):
            return list(await connector.examine(courses, fix=fix))
    except (Unreachable, AnswerLost) as fault:
        return [Finding("a closer look", ok=False, said=str(fault), remedy=_LOOK_THERE)]
    except TimeoutError:
        said = f"not done within {seconds:.0f} s"
        longer = f"On the command line, bridge doctor takes up to {PATIENCE:.0f} s." if seconds < PATIENCE - 60 else ""
        return [Finding("a closer look", ok=False, said=said, remedy=f"{_LOOK_THERE} {longer}".strip())]
    except Exception as fault:  # noqa: BLE001 - as above
        said = f"the connector failed: {type(fault).__name__}"
        return [Finding("a closer look", ok=False, said=said, remedy="Report it: this is a defect.")]
