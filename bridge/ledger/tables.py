"""The schema, for both dialects. ``migrations/`` builds it; a test compares the two.

The words are those of docs/flow.md. Every state column's values stand beside it, because the partial indexes rest on them.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, MetaData, Table, Text, text

from bridge.ledger.merge_tables import add_merge_tables

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite counts rows in INTEGER only; on PostgreSQL ids are 64 bits wide.
Id = BigInteger().with_variant(Integer(), "sqlite")


def _id() -> Column[int]:
    return Column("id", Id, primary_key=True, autoincrement=True)


def _text(name: str, default: str | None = None) -> Column[str]:
    return Column(name, Text, nullable=False, server_default=default)


def _time(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False)


def _maybe_time(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=True)


def _maybe(name: str) -> Column[str]:
    return Column(name, Text, nullable=True)


event = Table(
    "event",
    metadata,
    _id(),
    _text("source"),
    _text("adapter"),
    _maybe("event_key"),
    _time("received_at"),
    _text("method"),
    _text("path"),
    _text("query", "{}"),  # JSON; credential fields are blank, here and in the body
    _text("headers", "{}"),  # JSON; only those the adapter needs to understand the event again
    _text("body"),
    _text("encoding", "utf-8"),  # how body became text: utf-8, or base64 for bytes that are not
    _text("state"),  # accepted | refused | unreadable | ignored
    _maybe("note"),  # why it was refused or ignored: field names and texts, no values
    sqlite_autoincrement=True,
)
Index(
    "uq_event_key",
    event.c.source,
    event.c.event_key,
    unique=True,
    sqlite_where=text("event_key IS NOT NULL"),
    postgresql_where=text("event_key IS NOT NULL"),
)
Index("ix_event_received_at", event.c.received_at)

learner = Table(
    "learner",
    metadata,
    _id(),
    _text("namespace"),
    _maybe("remote_user_id"),
    _maybe("email"),
    _maybe("email_key"),  # the form in which addresses compare equal
    _text("first_name", ""),
    _text("last_name", ""),
    _text("phone", ""),
    _text("attributes", "{}"),
    _time("occurred_at"),  # of the newest event that told us of the person
    _time("created_at"),
    _time("updated_at"),
    Column("merged_into", Id, nullable=True),  # the learner who is the same person, as an operator said
    sqlite_autoincrement=True,
)
_MERGED = text("merged_into IS NOT NULL")
Index("ix_learner_merged_into", learner.c.merged_into, sqlite_where=_MERGED, postgresql_where=_MERGED)
Index(
    "ix_learner_merged_email",
    learner.c.namespace,
    learner.c.email_key,
    sqlite_where=_MERGED,
    postgresql_where=_MERGED,
)
Index(
    "uq_learner_remote_user_id",
    learner.c.namespace,
    learner.c.remote_user_id,
    unique=True,
    sqlite_where=text("remote_user_id IS NOT NULL"),
    postgresql_where=text("remote_user_id IS NOT NULL"),
)
Index(
    "uq_learner_email",
    learner.c.namespace,
    learner.c.email_key,
    unique=True,
    sqlite_where=text("remote_user_id IS NULL"),
    postgresql_where=text("remote_user_id IS NULL"),
)
Index("ix_learner_email_key", learner.c.email_key)

mapping_version = Table(
    "mapping_version",
    metadata,
    _id(),
    Column("digest", Text, nullable=False, unique=True),
    _text("mapping"),  # JSON: the courses and products the operator wrote
    _time("created_at"),
    sqlite_autoincrement=True,
)

LIVE_INTENTS = "intent IN ('live', 'suspended')"

registration = Table(
    "registration",
    metadata,
    _id(),
    _text("source"),
    Column("learner_id", Id, ForeignKey("learner.id"), nullable=False),
    _text("remote_product_id"),
    _text("line", ""),
    _maybe("business_scope"),
    _maybe("business_key"),
    _text("intent"),  # live | suspended | cancelled | expired: what the sender wants
    _text("state"),  # see states.py: what has become of it
    _time("occurred_at"),  # of the newest command that shaped the intent
    Column("quantity", Integer, nullable=False, server_default="1"),
    _maybe("amount_paid"),
    _maybe("currency"),
    _maybe("order_number"),
    _maybe("transaction_id"),
    _maybe("subscription_id"),
    _text("order_data", "{}"),
    _text("options", "{}"),
    _text("targets", "[]"),  # the CRM targets that follow this registration
    Column("mapping_version_id", Id, ForeignKey("mapping_version.id"), nullable=True),
    Column("event_id", Id, ForeignKey("event.id"), nullable=False),
    _time("created_at"),
    _time("updated_at"),
    # Of the newest word about its money, once more was said of it than that it is bought: then its words are kept, too.
    Column("money_at", BigInteger, nullable=True),
    sqlite_autoincrement=True,
)
Index(
    "uq_registration_live",
    registration.c.source,
    registration.c.learner_id,
    registration.c.remote_product_id,
    registration.c.line,
    unique=True,
    sqlite_where=text(f"business_key IS NULL AND {LIVE_INTENTS}"),
    postgresql_where=text(f"business_key IS NULL AND {LIVE_INTENTS}"),
)
Index(
    "uq_registration_business",
    registration.c.business_scope,
    registration.c.business_key,
    registration.c.line,
    unique=True,
    sqlite_where=text("business_key IS NOT NULL"),
    postgresql_where=text("business_key IS NOT NULL"),
)
Index("ix_registration_learner_id", registration.c.learner_id)
for _name in ("order_number", "transaction_id", "subscription_id"):
    Index(
        f"ix_registration_{_name}",
        registration.c[_name],
        sqlite_where=text(f"{_name} IS NOT NULL"),
        postgresql_where=text(f"{_name} IS NOT NULL"),
    )

effect = Table(
    "effect",
    metadata,
    Column("event_id", Id, ForeignKey("event.id"), primary_key=True),
    Column("registration_id", Id, ForeignKey("registration.id"), primary_key=True),
    _text(
        "effect"
    ),  # created | repeated | confirmed | changed | reopened | revived | moved | cancelled | refunded | ended | suspended | resumed | progressed | older | noted | scheduled | lifted | rerouted
)
Index("ix_effect_registration_id", effect.c.registration_id)

right = Table(
    "right",
    metadata,
    _id(),
    _text("target"),
    _text("person"),  # as this target knows them
    _text("course_key"),
    _text("course"),  # JSON: the remote course's complete table
    Column("learner_id", Id, ForeignKey("learner.id"), nullable=False),  # who is sent to the target
    Column("wanted", Integer, nullable=False),  # 1 while a live grant stands behind it
    _text("held", "no"),  # no | yes | unknown: what the target last confirmed
    _text("held_as", ""),  # fingerprint of what was confirmed
    _maybe("former"),  # the person the target still knows them as, until a changed address has arrived there
    _maybe_time("held_at"),
    _time("created_at"),
    _time("updated_at"),
    Column("heir_id", Id, nullable=True),  # the right that takes its place: this one is let go of once that has arrived
    Column("awaited", Integer, nullable=True),  # 1: it may be somebody's heir, and has not arrived yet
    sqlite_autoincrement=True,
)
_LEAVING = text("heir_id IS NOT NULL")
Index("ix_right_heir_id", right.c.heir_id, sqlite_where=_LEAVING, postgresql_where=_LEAVING)
Index(
    "ix_right_former",
    right.c.target,
    right.c.former,
    sqlite_where=text("former IS NOT NULL"),
    postgresql_where=text("former IS NOT NULL"),
)
Index("uq_right", right.c.target, right.c.person, right.c.course_key, unique=True)
Index("ix_right_learner_id", right.c.learner_id)

grant = Table(
    "grant",
    metadata,
    _id(),
    Column("registration_id", Id, ForeignKey("registration.id"), nullable=False),
    _text("course"),
    Column("right_id", Id, ForeignKey("right.id"), nullable=True),  # NULL: no LMS takes the course
    Column("live", Integer, nullable=False, server_default="1"),
    _maybe_time("expires_at"),
    Column("full_access", Integer, nullable=False, server_default="0"),
    # 1: another mapping, address or learner took its place; it never lives again by itself
    Column("superseded", Integer, nullable=False, server_default="0"),
    sqlite_autoincrement=True,
)
Index("uq_grant", grant.c.registration_id, grant.c.course, text("coalesce(right_id, 0)"), unique=True)
Index("ix_grant_right_id", grant.c.right_id)
_ENDING = text("live = 1 AND expires_at IS NOT NULL")
Index("ix_grant_expires_at", grant.c.expires_at, sqlite_where=_ENDING, postgresql_where=_ENDING)

course_progress = Table(
    "course_progress",
    metadata,
    Column("registration_id", Id, ForeignKey("registration.id"), primary_key=True),
    Column("course", Text, primary_key=True),
    Column("percent", Integer, nullable=True),
    _maybe_time("percent_at"),
    _maybe_time("started_at"),
    _maybe_time("completed_at"),
    _maybe_time("expired_at"),
)

remote_ref = Table(
    "remote_ref",
    metadata,
    Column("target", Text, primary_key=True),
    Column("key", Text, primary_key=True),  # the person, or right:ID; before kind, because it is what is looked up
    Column("kind", Text, primary_key=True),
    _text("remote_id"),
    _time("updated_at"),
)

UNSETTLED = "state IN ('open', 'blocked', 'leased', 'dead')"

delivery = Table(
    "delivery",
    metadata,
    _id(),
    _text("target"),
    _text("kind"),  # right | contact | notice
    _text("key"),  # right:ID, notice:ID, or the person
    Column("right_id", Id, ForeignKey("right.id"), nullable=True),
    _text("person"),
    Column("learner_id", Id, ForeignKey("learner.id"), nullable=False),
    Column("registration_id", Id, ForeignKey("registration.id"), nullable=True),  # what gave the latest cause
    Column("event_id", Id, ForeignKey("event.id"), nullable=True),
    _text("source", ""),  # of the registration: each source has queues of its own, see queues.py
    _text("state"),  # waiting | open | blocked | leased | dead | done
    Column("revision", Integer, nullable=False, server_default="1"),  # goes up when the cause changes
    _time("due_at"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("age", BigInteger, nullable=False, server_default="0"),  # milliseconds of tries really made
    _maybe("lease"),
    _maybe("lease_owner"),
    _maybe_time("lease_until"),
    Column(
        "unknown", Integer, nullable=False, server_default="0"
    ),  # 1: an answer was lost; 2: and an operator asked for the repeat
    _text("steps", "[]"),
    _maybe("outcome"),
    _maybe("why"),
    _maybe("remedy"),
    _time("created_at"),
    _time("updated_at"),
    _maybe("traceparent"),  # the request that first asked for it, where requests are traced
    sqlite_autoincrement=True,
)
Index(
    "uq_delivery_unsettled",
    delivery.c.target,
    delivery.c.kind,
    delivery.c.key,
    unique=True,
    sqlite_where=text(UNSETTLED),
    postgresql_where=text(UNSETTLED),
)
Index(
    "uq_delivery_waiting",
    delivery.c.registration_id,
    delivery.c.target,
    unique=True,
    sqlite_where=text("state = 'waiting'"),
    postgresql_where=text("state = 'waiting'"),
)
Index(
    "ix_delivery_queue",
    delivery.c.target,
    delivery.c.source,
    text("(attempts > 0)"),
    delivery.c.due_at,
    sqlite_where=text("state = 'open'"),
    postgresql_where=text("state = 'open'"),
)
Index(
    "uq_delivery_in_flight",
    delivery.c.target,
    delivery.c.person,
    unique=True,
    sqlite_where=text("state = 'leased'"),
    postgresql_where=text("state = 'leased'"),
)
Index(
    "ix_delivery_person",
    delivery.c.person,
    delivery.c.target,
    sqlite_where=text("state IN ('open', 'blocked')"),
    postgresql_where=text("state IN ('open', 'blocked')"),
)
Index("ix_delivery_registration_id", delivery.c.registration_id)
Index("ix_delivery_right_id", delivery.c.right_id)
Index(
    "ix_delivery_dead",
    delivery.c.target,
    sqlite_where=text("state = 'dead'"),
    postgresql_where=text("state = 'dead'"),
)

attempt = Table(
    "attempt",
    metadata,
    _id(),
    Column("delivery_id", Id, ForeignKey("delivery.id"), nullable=False),
    _time("at"),
    Column("ms", Integer, nullable=False),
    _text("operation"),  # grant | update | revoke | contact | notice | none
    _text("outcome"),  # receipt | later | operator | refused | pending | nothing
    _text("why", ""),
    _text("exchanges", "[]"),  # JSON, masked: what was sent and what came back
    sqlite_autoincrement=True,
)
Index("ix_attempt_delivery_id", attempt.c.delivery_id)

quarantine = Table(
    "quarantine",
    metadata,
    _id(),
    Column("event_id", Id, ForeignKey("event.id"), nullable=False),
    _text("source"),
    _text("kind"),  # unmapped | unreadable | early: it came before its purchase | seats: see seat_tables.py
    _text("learner_key", ""),
    _text("remote_product_id", ""),
    _text("line", ""),
    _text("business_key", ""),
    _text("command", ""),  # JSON of the canonical command, for unmapped with this one line; empty for unreadable
    _time("occurred_at"),
    _text("state"),  # waiting | released | superseded
    Column("seen", Integer, nullable=False, server_default="1"),
    Column("registration_id", Id, ForeignKey("registration.id"), nullable=True),
    _maybe("note"),
    _time("created_at"),
    _time("updated_at"),
    sqlite_autoincrement=True,
)
Index(
    "uq_quarantine_line",
    quarantine.c.source,
    quarantine.c.learner_key,
    quarantine.c.remote_product_id,
    quarantine.c.line,
    quarantine.c.business_key,
    unique=True,
    sqlite_where=text("kind = 'unmapped' AND state = 'waiting'"),
    postgresql_where=text("kind = 'unmapped' AND state = 'waiting'"),
)
_WAITING = text("state = 'waiting'")
Index(
    "ix_quarantine_waiting",
    quarantine.c.source,
    quarantine.c.remote_product_id,
    sqlite_where=_WAITING,
    postgresql_where=_WAITING,
)

parked_key = Table(
    "parked_key",
    metadata,
    Column("scope", Text, primary_key=True),
    Column("key", Text, primary_key=True),  # what a purchase must carry for the early command to be its own
    Column("quarantine_id", Id, ForeignKey("quarantine.id"), primary_key=True),
)
Index("ix_parked_key_quarantine_id", parked_key.c.quarantine_id)

order_ref = Table(
    "order_ref",
    metadata,
    Column("scope", Text, primary_key=True),
    Column("ref", Text, primary_key=True),  # a charge, a capture, an invoice: what a refund may carry
    Column("registration_id", Id, ForeignKey("registration.id"), primary_key=True),
)

lookup = Table(
    "lookup",
    metadata,
    _id(),
    Column("event_id", Id, ForeignKey("event.id"), nullable=False),
    _text("source"),
    _text("kind"),  # what is asked, in the sender's word
    _text("key"),
    _text("state"),  # open | done | dead
    _time("due_at"),  # while it is being asked: when the asking is taken to have died
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("age", BigInteger, nullable=False, server_default="0"),  # milliseconds of tries really made
    _text("why", ""),
    _text("remedy", ""),
    _time("created_at"),
    _time("updated_at"),
    sqlite_autoincrement=True,
)
Index("uq_lookup", lookup.c.event_id, lookup.c.kind, lookup.c.key, unique=True)
Index(
    "ix_lookup_due",
    lookup.c.source,
    lookup.c.due_at,
    sqlite_where=text("state = 'open'"),
    postgresql_where=text("state = 'open'"),
)
Index("ix_lookup_dead", lookup.c.source, sqlite_where=text("state = 'dead'"), postgresql_where=text("state = 'dead'"))

lane = Table(
    "lane",
    metadata,
    Column("target", Text, primary_key=True),
    _time("paused_at"),
    _text("paused_by"),  # bridge | the operator's name
    _text("why", ""),
    _text("remedy", ""),
)

schedule_state = Table(
    "schedule_state",
    metadata,
    Column("job", Text, primary_key=True),
    _time("ran_at"),
)

operator_action = Table(
    "operator_action",
    metadata,
    _id(),
    _time("at"),
    _text("operator"),
    _text("action"),
    _text("subject"),
    _text("note", ""),
    sqlite_autoincrement=True,
)

add_merge_tables(metadata, Id)

# Tables of one feature stand in files of their own; whoever has the metadata has them all.
from bridge.ledger import alert_tables as _alerts  # noqa: E402, F401 - they are made of the words above
from bridge.ledger import console_tables as _console  # noqa: E402, F401
from bridge.ledger import credential_tables as _credentials  # noqa: E402, F401
from bridge.ledger import many_tables as _many  # noqa: E402, F401
from bridge.ledger import notice_tables as _notices  # noqa: E402, F401
from bridge.ledger import removal_tables as _removals  # noqa: E402, F401
from bridge.ledger import scheduled_tables as _scheduled  # noqa: E402, F401
from bridge.ledger import seat_tables as _seats  # noqa: E402, F401
from bridge.ledger import word_tables as _words  # noqa: E402, F401
