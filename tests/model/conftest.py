"""The databases of the ledger's tests."""

from tests.ledger.conftest import postgres, quiet, sqlite_template

__all__ = ["postgres", "quiet", "sqlite_template"]
