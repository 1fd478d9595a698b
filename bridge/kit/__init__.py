"""Tools that a connector author may use. Nothing here knows the ledger, the dispatcher or the configuration."""
