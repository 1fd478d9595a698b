"""How old the oldest snapshot of the database is: while one is open, vacuum removes nothing that was done since, and claims grow slow."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, text

# A session that has written holds the horizon back by its transaction id, one that reads by its snapshot. Vacuum itself does not.
_OLDEST: Final = """
SELECT extract(epoch FROM clock_timestamp() - min(o.since)) FROM (
 SELECT a.xact_start AS since FROM pg_stat_activity a
 WHERE a.datname = current_database() AND a.pid <> pg_backend_pid() AND a.backend_type <> 'autovacuum worker'
  AND (a.backend_xmin IS NOT NULL OR a.backend_xid IS NOT NULL)
 UNION ALL SELECT p.prepared FROM pg_prepared_xacts p WHERE p.database = current_database()) o
"""


def oldest_snapshot(connection: Connection) -> float:
    """Return for how many seconds the oldest transaction of the database has kept vacuum away; 0 where none does, and on SQLite.

    The bridge sees the sessions of its own role, and those of others where it is a member of ``pg_read_all_stats``.
    """
    if connection.dialect.name != "postgresql":
        return 0.0
    return max(0.0, float(connection.execute(text(_OLDEST)).scalar() or 0.0))
