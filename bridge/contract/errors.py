"""Errors, grouped by what happens next.

Outcomes of a delivery are values, not exceptions: see :mod:`bridge.contract.outbound`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


class BridgeError(Exception):
    """Anything the bridge raises on purpose."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with what the operator wrote.

    Attributes:
        where: dotted path of the key, as in ``targets.crm.token``.
        message: what was expected, and what to do.
        line: line in the file, counted from 1; None when the key is absent everywhere.
    """

    where: str
    message: str
    line: int | None = None


class ConfigError(BridgeError):
    """The configuration can't be used: do not start, say every fault at once, exit code 2."""

    def __init__(self, faults: Iterable[Fault], path: str = "bridge.toml") -> None:
        """Keep the faults and render them, one a line, as ``file:line: key: message``."""
        self.faults = tuple(faults)
        self.path = path
        super().__init__("\n".join(self._render(fault) for fault in self.faults))

    def _render(self, fault: Fault) -> str:
        place = f"{self.path}:{fault.line}" if fault.line else self.path
        return f"{place}: {fault.where}: {fault.message}"


class InboundError(BridgeError):
    """A sender's call can't be used."""


class SignatureInvalid(InboundError):
    """The sender did not prove who it is: 401, nothing is stored but a counter."""


class PayloadInvalid(InboundError):
    """The body can't be understood.

    A synchronous protocol answers in its own 4xx shape; a verified webhook is quarantined and answered 200.

    Attributes:
        faults: field name -> what is wrong with it, in words a sender's developer can act on.
        readable: False when not even the syntax could be read (400 instead of 422).
    """

    def __init__(self, faults: Mapping[str, str], *, readable: bool = True) -> None:
        """Keep the faults by field."""
        self.faults = dict(faults)
        self.readable = readable
        super().__init__("; ".join(f"{field}: {text}" for field, text in self.faults.items()))


class BodyTooLarge(InboundError):
    """The body is larger than the server accepts: 413."""


class LedgerError(BridgeError):
    """The ledger can't take the write now: 503 with ``Retry-After``, the sender repeats."""


class LedgerRefused(LedgerError):
    """The ledger is well and can't take this one write, however often it is tried: a value in it is none that it can hold."""


class LedgerHeld(LedgerError):
    """Another process runs on this ledger."""


class LedgerUnfinished(LedgerError):
    """The ledger is a copy that was cut off: waiting does not help, going on with the copy does."""


class TransportFault(BridgeError):
    """No answer came back from a target. Dispatch turns it into a later try."""


class Unreachable(TransportFault):
    """The request surely had no effect: name not found, connection refused, TLS or connect time-out."""


class AnswerLost(TransportFault):
    """The request was sent and the answer never came: whether it had its effect is unknown."""
