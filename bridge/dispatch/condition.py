"""Whether a lane may deliver, and how much at once: breaker, pace, holds and pauses, and how outcomes change them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import structlog

from bridge.contract.outbound import NeedsOperator, Outcome, Receipt, TryLater
from bridge.dispatch.breaker import Breaker, BreakerPolicy, Pace
from bridge.kit.clock import Clock

log = structlog.get_logger(__name__)

_SHORTEST_HOLD = 1.0  # seconds: also a target that says "after 0" is left alone for a moment


class Condition:
    """The condition of one lane. No network, no ledger: the lane acts on what this says.

    Attributes:
        paused_by: ``bridge``, an operator's name, or None.
        untold: why the bridge paused the lane, until the ledger knows of it.
        recovered: the target is well again, and the ledger does not know of it yet.
        elsewhere: another bridge asks the target whether it is well again; until it is, nothing goes out here.
        fenced: what is claimed here now may be somebody else's already; see ``presence``.
        changed: called when the target got into trouble, or out of it.
        proven: the target has answered with sense since the lane began.
    """

    def __init__(
        self, target: str, concurrency: int, policy: BreakerPolicy, longest_hold: float, reprobe: float, clock: Clock
    ) -> None:
        """Start at full speed. Seconds: the longest hold that is honoured; between probes of a lane paused by the bridge."""
        self.breaker = Breaker(policy, clock)
        self.pace = Pace(concurrency)
        self.paused_by: str | None = None
        self.untold: NeedsOperator | None = None
        self.recovered = False
        self.elsewhere = False
        self.fenced: Callable[[], bool] = lambda: False
        self.changed: Callable[[], None] = lambda: None
        self.proven = False
        self._target = target
        self._longest_hold = longest_hold
        self._reprobe = reprobe
        self._clock = clock
        self._held_until = clock.monotonic()
        self._next_probe = 0.0

    @property
    def status(self) -> str:
        """``running``, ``paused`` or ``open`` (the breaker)."""
        if self.paused_by is not None:
            return "paused"
        return "open" if self.breaker.is_open or self.elsewhere else "running"

    @property
    def in_trouble(self) -> bool:
        """Whether the target is to be asked whether it is well again, by whichever bridge."""
        return self.breaker.is_open or self.paused_by == "bridge"

    @property
    def hold(self) -> float:
        """Seconds for which the target asked the whole lane to wait; 0 when it may go on."""
        return max(0.0, self._held_until - self._clock.monotonic())

    @property
    def may_deliver(self) -> bool:
        """Whether anything may go out now."""
        free = self.paused_by is None and not self.breaker.is_open and not self.elsewhere
        return free and self.hold == 0 and not self.fenced()

    @property
    def until_probe(self) -> float | None:
        """Seconds until the target is to be asked whether it is well; None when it is not to be asked."""
        if self.elsewhere or self.fenced():
            return None
        if self.paused_by == "bridge":
            return max(0.0, self._next_probe - self._clock.monotonic())
        if self.paused_by is None and self.breaker.is_open:
            return self.breaker.probe_in
        return None

    def pause(self, by: str) -> None:
        """Stop, because an operator says so."""
        self.paused_by, self.untold = by, None

    def resume(self) -> None:
        """Go on, as if the target had never failed."""
        self.paused_by = self.untold = None
        self.breaker.succeeded()
        self._held_until = self._clock.monotonic()
        self._is_well()

    def left_to_another(self) -> None:
        """Another bridge found the target in trouble, or was first to say so, and asks it."""
        self.elsewhere = True

    def taken_over(self, *, paused: bool) -> None:
        """The bridge that asked the target is gone, which it may have ``paused``: ask it from here, at once."""
        self.elsewhere = False
        self.breaker.open_now()
        if paused and self.paused_by is None:
            self.paused_by = "bridge"
        self._next_probe = self._clock.monotonic()
        log.info("lane.probing_taken_over", target=self._target)

    def well_elsewhere(self) -> None:
        """Another bridge found the target well, or an operator said so."""
        self.elsewhere = False
        self.breaker.probed(well=True)
        if self.paused_by == "bridge":
            self.paused_by = self.untold = None

    def felt(self, outcomes: Sequence[Outcome]) -> None:
        """React to the outcomes of one call; several of one kind count once, however large the batch.

        Answers come first: a batch of which a part went through does not excuse the outage of the rest.
        """
        kinds: dict[tuple[Any, ...], Outcome] = {
            (type(outcome), getattr(outcome, "cause", None), getattr(outcome, "scope", None)): outcome
            for outcome in outcomes
        }
        for outcome in sorted(kinds.values(), key=_is_trouble):
            self._felt(outcome)

    def probed(self, outcome: Outcome) -> None:
        """React to the answer of a probe."""
        well = isinstance(outcome, Receipt)
        log.info("lane.probed", target=self._target, well=well)
        self._next_probe = self._clock.monotonic() + self._reprobe
        if self.breaker.is_open:
            self.breaker.probed(well=well)
        if well:
            self.proven = True
            if self.paused_by == "bridge":
                self.paused_by = self.untold = None
            self._is_well()

    def _felt(self, outcome: Outcome) -> None:
        match outcome:
            case TryLater(cause="outage"):
                if outcome.applied == "unknown":
                    self.pace.slower()
                if self.breaker.failed():
                    log.error("lane.opened", target=self._target, why=outcome.why)
                    self.changed()
            case TryLater(cause="throttled"):
                self.pace.slower()
                self._wait(outcome.after if outcome.after is not None else _SHORTEST_HOLD)
            case NeedsOperator(scope="lane"):
                self._pause_itself(outcome)
            case _:
                self.proven = True
                self.pace.faster()
                if self.breaker.succeeded():
                    self._is_well()
        if isinstance(outcome, TryLater) and outcome.scope == "lane" and outcome.after is not None:
            self._wait(outcome.after)

    def _wait(self, seconds: float) -> None:
        seconds = max(_SHORTEST_HOLD, min(seconds, self._longest_hold))
        self._held_until = max(self._held_until, self._clock.monotonic() + seconds)

    def _pause_itself(self, needs: NeedsOperator) -> None:
        if self.paused_by is None:
            self.paused_by, self.untold = "bridge", needs
            self._next_probe = self._clock.monotonic() + self._reprobe
            log.error("lane.paused", target=self._target, why=needs.why, remedy=needs.remedy)
            self.changed()

    def _is_well(self) -> None:
        self.recovered = True
        log.info("lane.recovered", target=self._target)
        self.changed()


def _is_trouble(outcome: Outcome) -> bool:
    lane_wide = isinstance(outcome, NeedsOperator | TryLater) and outcome.scope == "lane"
    return lane_wide or (isinstance(outcome, TryLater) and outcome.cause != "busy")
