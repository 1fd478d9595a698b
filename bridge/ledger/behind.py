"""What stands behind the story of a purchase: by which mapping it was planned, what was sent and answered, as whom targets know the learner. Read-only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from sqlalchemy import Connection

from bridge.contract.catalogue import person_key
from bridge.ledger.reports import ask


def mapping(connection: Connection, registration_id: int) -> dict[str, Any] | None:
    """Return by what a registration was planned, or None where it was not.

    Returns:
        ``mapping_version_id``, ``created_at`` (since when it is known), ``product`` (its table in bridge.toml as it was, or None
        where it had none), ``courses`` (all tables ``[courses.KEY]`` as they were), and ``followers``: the CRM targets that are
        told of it.
    """
    rows = ask(
        connection,
        "SELECT g.source, g.remote_product_id, g.targets, m.id AS mapping_version_id, m.mapping, m.created_at FROM registration g"
        " JOIN mapping_version m ON m.id = g.mapping_version_id WHERE g.id = :id",
        id=registration_id,
    )
    if not rows:
        return None
    row = rows[0]
    kept = orjson.loads(row["mapping"] or "{}")
    product = next(
        (
            one
            for one in kept.get("products", ())
            if one.get("remote_product_id") == row["remote_product_id"] and row["source"] in _listed(one.get("source"))
        ),
        None,
    )
    return {
        "mapping_version_id": row["mapping_version_id"],
        "created_at": row["created_at"],
        "product": product,
        "courses": kept.get("courses", {}),
        "followers": orjson.loads(row["targets"]),
    }


def exchanges(connection: Connection, attempts: Sequence[int]) -> dict[int, list[dict[str, Any]]]:
    """Return what was sent and answered in these attempts, masked as it is kept: method, url, sent, status, answer, fault, ms."""
    rows = ask(connection, "SELECT a.id, a.exchanges FROM attempt a WHERE a.id IN :ids", ids=list(attempts))
    return {row["id"]: row["exchanges"] for row in rows}


def remote_ids(connection: Connection, target: str, keys: Sequence[str]) -> dict[str, str]:
    """Return the ids that a target gave to what these keys name, by kind."""
    rows = ask(
        connection,
        "SELECT f.kind, f.remote_id FROM remote_ref f WHERE f.target = :target AND f.key IN :keys ORDER BY f.kind",
        target=target,
        keys=list(keys),
    )
    return {row["kind"]: row["remote_id"] for row in rows if row["remote_id"]}


def contacts(connection: Connection, registration_id: int, learner: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the CRM targets that follow a purchase and know its learner, each with the ids that it gave, however old its delivery is."""
    (row,) = ask(connection, "SELECT g.targets FROM registration g WHERE g.id = :id", id=registration_id)
    named = learner["namespace"], learner["remote_user_id"], learner["email"]
    keys = [key for known_by in ("email", "user_id") if (key := person_key(known_by, *named)) is not None]
    found = ((target, remote_ids(connection, target, keys)) for target in sorted(orjson.loads(row["targets"])))
    return [{"target": target, "remote_ids": ids} for target, ids in found if ids]


def _listed(value: Any) -> Sequence[str]:
    return [value] if isinstance(value, str) else value or ()
