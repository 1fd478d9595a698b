"""Metrics, in Prometheus's words. Labels hold names from the configuration only: no learner, no secret, no free text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest

disable_created_metrics()  # type: ignore[no-untyped-call]  # twice the lines, for a question nobody asks

_FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_SIZES = (1, 2, 5, 10, 25, 50, 100, 250, 500)
_WAITS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0)
_SLOW = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0)


class Telemetry:
    """The process's own registry and what is counted in it."""

    def __init__(self) -> None:
        """Start at zero."""
        self.registry = CollectorRegistry()
        self._answers: dict[tuple[str, str], tuple[Counter, Histogram]] = {}
        self._count()
        self._show()

    def _count(self) -> None:
        """Register what happens in this process."""
        self.received = Counter(
            "bridge_received",
            "Calls of senders, by source and what became of them",
            ("source", "became"),
            registry=self.registry,
        )
        self.accept_seconds = Histogram(
            "bridge_accept_seconds",
            "Time from a call's arrival to its answer",
            ("source",),
            buckets=_FAST,
            registry=self.registry,
        )
        self.attempts = Counter(
            "bridge_attempts",
            "Attempts at targets, by operation and outcome",
            ("target", "operation", "outcome"),
            registry=self.registry,
        )
        self.attempt_seconds = Histogram(
            "bridge_attempt_seconds",
            "Time of one attempt",
            ("target",),
            buckets=_SLOW,
            registry=self.registry,
        )
        self.access_seconds = Histogram(
            "bridge_access_seconds",
            "Time from a purchase to the first time that the target let the buyer in",
            ("source", "target"),
            buckets=_WAITS,
            registry=self.registry,
        )
        self.group_size = Histogram(
            "bridge_commit_group_size",
            "Writes that shared one commit",
            buckets=_SIZES,
            registry=self.registry,
        )
        self.lookups = Counter(
            "bridge_lookups",
            "Questions to senders about their events, by what came of them",
            ("source", "outcome"),
            registry=self.registry,
        )
        self._count_the_rest()

    def _count_the_rest(self) -> None:
        """Register what happens beside purchases."""
        self.claims = Counter(
            "bridge_claims",
            "Claims of seats, by what became of them",
            ("became",),
            registry=self.registry,
        )
        self.alert_failures = Counter(
            "bridge_alert_failures",
            "Times that a channel did not take the alerts that were due",
            ("channel",),
            registry=self.registry,
        )
        self.removals = Counter(
            "bridge_removed",
            "Rows that were removed because they are old ([ledger] keep_...)",
            ("what",),
            registry=self.registry,
        )

    def _show(self) -> None:
        """Register what the ledger and the lanes are asked for when somebody looks."""
        self.deliveries = Gauge(
            "bridge_deliveries",
            "Deliveries that are not done, by state",
            ("target", "state"),
            registry=self.registry,
        )
        self.oldest_due = Gauge(
            "bridge_oldest_due_seconds",
            "For how long the oldest due delivery has been due",
            ("target",),
            registry=self.registry,
        )
        self.lookups_open = Gauge(
            "bridge_lookups_open",
            "Questions to senders that are not answered yet, by state",
            ("source", "state"),
            registry=self.registry,
        )
        self.quarantine = Gauge(
            "bridge_quarantine",
            "Lines and events that wait for an operator",
            ("source",),
            registry=self.registry,
        )
        self.alerts_open = Gauge(
            "bridge_alerts_open",
            "Alerts whose cause is still there",
            ("kind",),
            registry=self.registry,
        )
        self.lane_up = Gauge(
            "bridge_lane_running",
            "1 while the lane delivers, 0 while it is paused or its breaker is open",
            ("target",),
            registry=self.registry,
        )
        self.job_age = Gauge(
            "bridge_job_age_seconds",
            "Time since old rows were last looked for, all of them: emptied (retention) and removed (pruning)",
            ("job",),
            registry=self.registry,
        )
        self.snapshot_age = Gauge(
            "bridge_oldest_snapshot_seconds",
            "For how long the oldest transaction has kept the database from vacuuming",
            registry=self.registry,
        )
        self._show_others()

    def _show_others(self) -> None:
        """Register what a bridge knows of the others on its ledger."""
        self.bridges = Gauge("bridge_bridges", "Bridges that live on this ledger", registry=self.registry)
        self.leads = Gauge("bridge_leads", "1 where the timed jobs are done", registry=self.registry)
        self.fenced = Gauge(
            "bridge_fenced",
            "1 while nothing is begun because the heartbeat could not be written",
            registry=self.registry,
        )
        self.beat_age = Gauge(
            "bridge_heartbeat_age_seconds", "Time since the last heartbeat that was written", registry=self.registry
        )

    def show_company(self, *, bridges: int, leads: bool, fenced: bool, beat_age: float) -> None:
        """Take over how this bridge stands among the others."""
        self.bridges.set(bridges)
        self.leads.set(leads)
        self.fenced.set(fenced)
        self.beat_age.set(beat_age)

    def answered(self, source: str, became: str, seconds: float) -> None:
        """Count one call of a sender."""
        # Finding a labelled child costs more than counting; the pairs are few and stay the same.
        found = self._answers.get((source, became))
        if found is None:
            found = self._answers[source, became] = (
                self.received.labels(source, became),
                self.accept_seconds.labels(source),
            )
        found[0].inc()
        found[1].observe(seconds)

    def unreadable(self) -> None:
        """Count a request that is no HTTP, so that nobody knows whose it is."""
        self.received.labels("-", "unreadable").inc()

    def attempted(self, target: str, operation: str, outcome: str, seconds: float) -> None:
        """Count one attempt."""
        self.attempts.labels(target, operation, outcome).inc()
        self.attempt_seconds.labels(target).observe(seconds)

    def arrived(self, source: str, target: str, seconds: float) -> None:
        """Count that a target let a buyer in for the first time, so long after the purchase."""
        self.access_seconds.labels(source, target).observe(seconds)

    def claimed(self, became: str) -> None:
        """Count one claim of a seat."""
        self.claims.labels(became).inc()

    def looked_up(self, source: str, outcome: str) -> None:
        """Count one question to a sender."""
        self.lookups.labels(source, outcome).inc()

    def alert_failed(self, channel: str) -> None:
        """Count that a channel did not take what was due."""
        self.alert_failures.labels(channel).inc()

    def removed(self, what: str, rows: int) -> None:
        """Count rows that were removed because they are old."""
        self.removals.labels(what).inc(rows)

    def show_ledger(self, counts: Mapping[str, Any]) -> None:
        """Take over what the ledger counted (see ``reports.backlog``)."""
        self.deliveries.clear()
        self.oldest_due.clear()
        self.quarantine.clear()
        self.lookups_open.clear()
        self.alerts_open.clear()
        for (target, state), number in counts["deliveries"].items():
            self.deliveries.labels(target, state).set(number)
        for target, seconds in counts["oldest_due"].items():
            self.oldest_due.labels(target).set(seconds)
        for source, number in counts["quarantine"].items():
            self.quarantine.labels(source).set(number)
        for (source, state), number in counts["lookups"].items():
            self.lookups_open.labels(source, state).set(number)
        for job, seconds in counts["jobs"].items():
            self.job_age.labels(job).set(seconds)
        for kind, number in counts["alerts"].items():
            self.alerts_open.labels(kind).set(number)

    def text(self) -> bytes:
        """Return everything in Prometheus's text format."""
        return generate_latest(self.registry)
