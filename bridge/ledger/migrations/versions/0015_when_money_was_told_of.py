"""When the newest word about a purchase's money was said, where a hold was told since."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"

# What became of a purchase last was a hold, its end or a cancellation, and no refund ever: when it was paid last is not known
# any more. Any refund counts over that, as it did until now.
_NOT_KNOWN = """
UPDATE registration SET money_at = 0 WHERE business_key IS NOT NULL AND id IN (
 SELECT e.registration_id FROM effect e WHERE e.effect IN ('suspended', 'resumed', 'confirmed', 'cancelled', 'ended')
  AND NOT EXISTS (SELECT 1 FROM effect n WHERE n.registration_id = e.registration_id AND (n.effect = 'refunded'
   OR (n.event_id > e.event_id
    AND n.effect NOT IN ('created', 'noted', 'older', 'progressed', 'scheduled', 'lifted', 'rerouted')))))
"""


def upgrade() -> None:
    op.add_column("registration", sa.Column("money_at", sa.BigInteger(), nullable=True))
    op.execute(_NOT_KNOWN)
