"""Who wakes us: HTTP addresses, probes, the clock; and what is seen from outside: logs and metrics."""
