"""What the clock wakes: one file per scheduled job. ``edge.schedule`` runs them; they only write to the ledger."""
