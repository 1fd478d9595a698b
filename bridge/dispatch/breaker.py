"""A lane's breaker and its pace: when a target is down or asks for mercy, the lane goes easy by itself."""

from __future__ import annotations

from dataclasses import dataclass

from bridge.kit.clock import Clock


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """When a lane stops trying.

    Attributes:
        failures: consecutive outages that open it.
        first: seconds until the first probe; doubled after each failed one, up to ``longest``.
    """

    failures: int = 5
    first: float = 5.0
    longest: float = 300.0


class Breaker:
    """Opens after consecutive outages; while it is open, only probes go out."""

    def __init__(self, policy: BreakerPolicy, clock: Clock) -> None:
        """Start closed."""
        self._policy = policy
        self._clock = clock
        self._failures = 0
        self._pause = policy.first
        self._probe_at: float | None = None

    @property
    def is_open(self) -> bool:
        """Whether deliveries have to wait."""
        return self._probe_at is not None

    @property
    def probe_in(self) -> float:
        """Seconds until the next probe is due; 0 when it is due now."""
        return 0.0 if self._probe_at is None else max(0.0, self._probe_at - self._clock.monotonic())

    def succeeded(self) -> bool:
        """Note an answer that makes sense; return whether that closed the breaker."""
        was_open, self._probe_at = self.is_open, None
        self._failures, self._pause = 0, self._policy.first
        return was_open

    def probed(self, *, well: bool) -> None:
        """Note a probe. A good one closes the breaker but keeps its patience: only a delivery proves the target well."""
        if well:
            self._probe_at, self._failures = None, max(0, self._policy.failures - 1)
        else:
            self._open()

    def open_now(self) -> None:
        """Open it, with a probe due at once."""
        self._probe_at = self._clock.monotonic()

    def failed(self) -> bool:
        """Note an outage; return whether that opened the breaker."""
        self._failures += 1
        if self._failures < self._policy.failures or self.is_open:
            return False
        self._open()
        return True

    def _open(self) -> None:
        self._probe_at = self._clock.monotonic() + self._pause
        self._pause = min(self._pause * 2, self._policy.longest)


class Pace:
    """How many deliveries go at once: halved when the target is slow or throttles, one more for each full round of receipts."""

    def __init__(self, most: int) -> None:
        """Start at full speed."""
        self._most = most
        self._now = float(most)

    @property
    def slots(self) -> int:
        """Deliveries that may be under way at once; at least one."""
        return max(1, int(self._now))

    def faster(self) -> None:
        """Note a receipt."""
        self._now = min(float(self._most), self._now + 1 / self._now)

    def slower(self) -> None:
        """Note a time-out or a throttle."""
        self._now = max(1.0, self._now / 2)
