"""Alembic's entry: migrations run on the connection that ``migrate.py`` opened, in its transaction."""

from alembic import context

from bridge.ledger.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
context.run_migrations()
