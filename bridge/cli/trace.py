"""``bridge trace WHAT``: the whole story of one purchase, in time order, and what comes next."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from bridge.cli.detail import NothingFound
from bridge.cli.given import CONFIG, AsJson, ConfigPath, Reveal, settings_of
from bridge.cli.reading import ask
from bridge.cli.shown import plain, show, show_json, veil
from bridge.edge.removed import removed
from bridge.edge.unled import following
from bridge.ledger.events import OPERATOR
from bridge.ledger.story import By, story

Row = Mapping[str, Any]


def trace(
    what: Annotated[
        str,
        typer.Argument(
            metavar="WHAT",
            help="A registration id, order number (or any other id of the order), event key, e-mail address or"
            " remote user id. An address or a user id lists everything of that person.",
        ),
    ],
    *,
    config: ConfigPath = CONFIG,
    by: Annotated[By | None, typer.Option("--by", help="What WHAT is; otherwise all are tried.")] = None,
    as_json: AsJson = False,
    reveal: Reveal = False,
) -> None:
    """Tell the whole story of a purchase: what came in, what it led to, what each target was told and answered, what comes next."""
    tell(config, what, by, as_json=as_json, reveal=reveal)


def tell(path: Path, what: str, by: By | None, *, as_json: bool, reveal: bool) -> None:
    """Find a story and show it.

    Raises:
        NothingFound: the ledger knows nothing of it.
    """
    found = ask(settings_of(path), lambda connection: story(connection, what, by))
    if found is None:
        raise NothingFound(f"nothing is known of {by or ''}{' ' if by else ''}{what}")
    found = {**veil(found, reveal=reveal), "what": what}
    if as_json:
        show_json(found)
        return
    for purchase in found["purchases"]:
        show(_purchase(purchase))
    for line in found["waiting"]:
        show(Tree(Text(plain(_line(line)))))
    for event in found["events"]:
        tree = Tree(
            Text(plain(f"event {event['event_id']} of {event['source']} {event['state']}: {event['note'] or '-'}"))
        )
        _add(tree, following(event))
        show(tree)


def _purchase(purchase: Row) -> Tree:
    tree = Tree(Text(plain(_title(purchase)), style="bold"))
    tree.add(Text(plain(_learner(purchase["learner"]))))
    for also in purchase["learner"]["merged"]:
        tree.add(Text(plain(f"also known as {_learner(also)}")))
    for one in purchase["claimed_from"]:
        tree.add(Text(f"claimed: seat {one['number']} of registration {one['registration_id']}"))
    if purchase["seats"]:
        bought = tree.add(f"seats (links: bridge seats {purchase['registration_id']})")
        for seat in purchase["seats"]:
            bought.add(Text(plain(_seat(seat))))
    happened = tree.add("what happened (UTC)")
    happened.add(_timeline(purchase["story"]))
    _add(happened, map(removed, purchase["removed"]))
    _add(tree.add("what is held"), map(_grant, purchase["grants"]))
    told = {delivery["target"] for delivery in purchase["deliveries"]}
    others = [
        f"{one['target']} knows the learner{_ids(one)}" for one in purchase["contacts"] if one["target"] not in told
    ]
    _add(tree.add("what the targets were told"), [*map(_delivery, purchase["deliveries"]), *others])
    following = tree.add("what comes next")
    for step in purchase["next"]:
        following.add(Text(plain(_step(step))))
    for change in purchase["scheduled"]:
        following.add(Text(plain(_scheduled(change))))
    if not purchase["next"] and not purchase["scheduled"]:
        following.add("nothing: every target holds what is wanted")
    return tree


def _add(tree: Tree, lines: Iterable[str]) -> None:
    for line in lines:
        tree.add(Text(plain(line)))


def _title(purchase: Row) -> str:
    order = f", order {purchase['order_number']}" if purchase["order_number"] else ""
    paid = f", paid {purchase['amount_paid']} {purchase['currency'] or ''}".rstrip() if purchase["amount_paid"] else ""
    product = (
        f"{purchase['source']} {purchase['remote_product_id']}{', never mapped' if purchase['never_mapped'] else ''}"
    )
    wanted = "" if purchase["intent"] == "live" else f" (wanted: {purchase['intent']})"
    return f"registration {purchase['registration_id']}: {purchase['state']}{wanted}, {product}{order}{paid}"


def _learner(learner: Row) -> str:
    parts = (learner["first_name"], learner["last_name"], f"<{learner['email'] or 'no e-mail'}>")
    known = f", {learner['remote_user_id']} of {learner['namespace']}" if learner["remote_user_id"] else ""
    return f"learner {learner['learner_id']}: {' '.join(part for part in parts if part)}{known}"


def _seat(seat: Row) -> str:
    if seat["state"] == "claimed":
        since = plain(seat["claimed_at"])
        return f"{seat['number']}: claimed {since} by registration {seat['claimed_registration_id']} ({seat['claimed_state']})"
    return f"{seat['number']}: {seat['state']}{' (' + seat['why'] + ')' if seat['why'] else ''}"


def _timeline(entries: Iterable[Row]) -> Table:
    shown = Table.grid(padding=(0, 1, 0, 0))
    shown.add_column(no_wrap=True)
    shown.add_column(overflow="fold")
    for entry in entries:
        shown.add_row(Text(plain(entry["at"])), Text(plain(_ENTRIES[entry["what"]](entry))))
    return shown


def _event(entry: Row) -> str:
    if entry["adapter"] == OPERATOR:
        return f"event {entry['event_id']}: {entry['note']}"
    note = f" ({entry['note']})" if entry["note"] else ""
    return (
        f"event {entry['event_id']} from {entry['source']}: {entry['method']} {entry['path']}, {entry['effect']}{note}"
    )


def _attempt(entry: Row) -> str:
    why = f": {entry['why']}" if entry["why"] else ""
    tried = f"{entry['target']}: {entry['operation']}, {entry['outcome']}"
    return f"{tried} in {entry['ms']} ms (delivery {entry['delivery_id']}){why}"


def _quarantined(entry: Row) -> str:
    if entry["state"] == "waiting" and entry["kind"] == "early":
        return f"quarantine {entry['quarantine_id']}: it came before its purchase"
    if entry["kind"] == "seats":
        return f"quarantine {entry['quarantine_id']}: {entry['note']}"
    if entry["state"] == "waiting":
        return f"quarantine {entry['quarantine_id']}: product {entry['remote_product_id']} was not mapped"
    return f"quarantine {entry['quarantine_id']}: {entry['state']}{': ' + entry['note'] if entry['note'] else ''}"


def _action(entry: Row) -> str:
    note = f": {entry['note']}" if entry["note"] else ""
    return f"{entry['operator']} did {entry['action']} {entry['subject']}{note}"


_ENTRIES: Final[Mapping[str, Callable[[Row], str]]] = {
    "event": _event,
    "attempt": _attempt,
    "quarantine": _quarantined,
    "action": _action,
}


_RELOADED: Final = " (after a change of bridge.toml: bridge reload first)"


def _grant(grant: Row) -> str:
    until = f" until {plain(grant['expires_at'])}" if grant["expires_at"] else ""
    ended = "" if grant["live"] else " (this registration's grant has ended)"
    right = grant["right"]
    if right is None:
        return f"{grant['course']}{until}: no LMS takes the course{ended}"
    held = {"yes": "held", "no": "not held", "unknown": "perhaps held"}[right["held"]]
    wanted = "wanted" if right["wanted"] else "not wanted"
    since = f" since {plain(right['held_at'])}" if right["held_at"] else ""
    return f"{grant['course']}{until} at {right['target']}: {wanted}, {held}{since}{_ids(right)}{ended}"


def _ids(row: Row) -> str:
    return "".join(f", {kind} {remote_id}" for kind, remote_id in row["remote_ids"].items())


def _delivery(delivery: Row) -> str:
    tries = len(delivery["attempts"])
    attempts = "1 attempt" if tries == 1 else f"{tries} attempts"
    why = f": {delivery['why']}" if delivery["why"] else ""
    return f"{delivery['target']} {delivery['kind']}: {delivery['state']}, {attempts} (delivery {delivery['delivery_id']}){_ids(delivery)}{why}"


def _step(step: Row) -> str:
    what = f"{step['target']} (delivery {step['delivery_id']})"
    why = f": {step['why'].rstrip('.')}" if step["why"] else ""
    if step["state"] == "dead":
        remedy = f" {step['remedy']}" if step["remedy"] else ""
        return f"{what} is a dead letter{why}.{remedy} Then: bridge requeue {step['delivery_id']}{_RELOADED}"
    if step["paused_by"] and step["state"] != "leased":
        reason = f": {step['paused_why']}" if step["paused_why"] else ""
        remedy = f" {step['paused_remedy']}" if step["paused_remedy"] else ""
        return f"{what} waits: the lane was paused by {step['paused_by']}{reason.rstrip('.')}.{remedy} Then: bridge resume {step['target']}{_RELOADED}"
    texts = {
        "waiting": "waits until the learner is in",
        "blocked": "waits for another delivery of this person",
        "leased": "is under way",
    }
    return f"{what} {texts.get(step['state']) or 'is due at ' + plain(step['due_at'])}{why}"


def _scheduled(change: Row) -> str:
    words = {
        "suspend": "it will be suspended on {} because a payment of its subscription failed (event {}), unless it is paid before",
        "cancel": "it will be cancelled on {} because its subscription was ended (event {}) and is paid until then",
    }
    return words[change["action"]].format(plain(change["at"]), change["event_id"])


def _line(line: Row) -> str:
    what = f"product {line['remote_product_id']} of {line['source']}"
    since = plain(line["created_at"])
    if line["state"] != "waiting":
        return (
            f"quarantine {line['quarantine_id']}: {what}, {line['state']}{': ' + line['note'] if line['note'] else ''}"
        )
    if line["kind"] == "early":
        return f"quarantine {line['quarantine_id']}: event {line['event_id']} of {line['source']} waits for its purchase since {since}"
    release = f"map it, bridge reload, then: bridge release {line['quarantine_id']}"
    return f"quarantine {line['quarantine_id']}: {what} is not mapped, waits since {since}; {release}"
