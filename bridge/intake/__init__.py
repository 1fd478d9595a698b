"""From a verified event to the ledger: plan (pure), then accept (one transaction). No HTTP in here."""
