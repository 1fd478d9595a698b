"""What the bridge remembers. SQLAlchemy Core lives here and nowhere else.

Time is kept as milliseconds since 1970 (UTC), JSON as text, so that one schema and one set of statements serve SQLite
and PostgreSQL.
"""
