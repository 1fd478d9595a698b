"""What alerts say: whole sentences for somebody who knows no API. Names from the configuration and counts; no learner data."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from bridge.contract.alerts import AlertKind
from bridge.contract.outbound import Explanation
from bridge.kit.answers import ERRORS
from bridge.kit.masking import mask_text
from bridge.ledger.alerts import Sighting

_LONGEST_NAME = 100
_GIVEN_UP = "given up after"


def amount(number: int, one: str, several: str) -> str:
    """Return ``1 delivery`` or ``3 deliveries``."""
    return f"{number} {one if number == 1 else several}"


def span(elapsed: timedelta) -> str:
    """Return a duration in words, in the largest unit that tells enough: ``40 minutes``, ``5 hours``, ``3 days``."""
    minutes = max(1, int(elapsed.total_seconds() // 60))
    if minutes < 120:
        return amount(minutes, "minute", "minutes")
    if minutes < 48 * 60:
        return amount(minutes // 60, "hour", "hours")
    return amount(minutes // (24 * 60), "day", "days")


def name(text: str) -> str:
    """Return a sender's own name of something, fit to stand in a sentence: on one line, printable, not endless, masked."""
    plain = mask_text("".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text))
    return plain if len(plain) <= _LONGEST_NAME else plain[:_LONGEST_NAME] + "..."


def sentence(why: str, known: Iterable[Explanation]) -> str:
    """Return what of a reason is the same for everybody, as a sentence; what a target answered to one learner is left out."""
    found = next((one.sentence for one in (*known, *ERRORS.values()) if why.startswith(one.sentence)), "")
    if not found and why.startswith(_GIVEN_UP):
        return "It was tried again and again until the time for that was over."
    return found


def dead_letters(
    target: str, remedy: str, number: int, why: str, newest: int, known: Iterable[Explanation]
) -> Sighting:
    """Deliveries that nobody tries any more, for one reason."""
    cause = sentence(why, known)
    told = f"{amount(number, 'delivery', 'deliveries')} to {target} {'has' if number == 1 else 'have'} failed for good."
    return Sighting(
        AlertKind.DEAD_LETTERS,
        f"{target}: {remedy}",
        _joined(told, cause, "Nobody tries again by itself, and learners may be waiting for their course."),
        _joined(
            remedy,
            f"See what happened with: bridge deliveries show {newest}. When it is mended: bridge requeue --target {target}.",
        ),
        number,
    )


def unmapped(source: str, product: str, number: int) -> Sighting:
    """Lines of one product that leads nowhere."""
    shown = name(product)
    return Sighting(
        AlertKind.UNMAPPED,
        f"{source}: {product}",
        f"{source} has sold the product '{shown}', which leads to no course: {amount(number, 'line waits', 'lines wait')}"
        " in quarantine, and the buyers are not let in.",
        "Say in bridge.toml which course it opens, or that it opens none; bridge quarantine --causes shows what to write."
        f" Then: bridge reload, and bridge release --source {source}.",
        number,
    )


def unreadable(source: str, number: int) -> Sighting:
    """Events that the adapter of a source did not understand."""
    return Sighting(
        AlertKind.UNREADABLE,
        source,
        f"{amount(number, 'call', 'calls')} of {source} could not be understood and {'is' if number == 1 else 'are'} kept."
        " If they are purchases, the buyers are not let in.",
        f"See which field is wrong with: bridge quarantine --source {source}. When the source is set right:"
        f" bridge replay --source {source} --state unreadable.",
        number,
    )


def early(source: str, number: int, after: timedelta) -> Sighting:
    """Refunds that have waited for their purchase for long."""
    return Sighting(
        AlertKind.EARLY,
        source,
        f"{amount(number, 'refund or cancellation', 'refunds or cancellations')} of {source}"
        f" {'has' if number == 1 else 'have'} waited for more than {span(after)} for a purchase that never came.",
        f"Look with: bridge quarantine --source {source}. If the purchases were made before the bridge was there,"
        " nothing needs to be done; else have the sender repeat them.",
        number,
    )


def dead_lookups(source: str, remedy: str, number: int, why: str) -> Sighting:
    """Questions to a sender that were given up."""
    return Sighting(
        AlertKind.LOOKUPS_DEAD,
        f"{source}: {remedy}",
        _joined(
            f"{amount(number, 'event', 'events')} of {source} can't be understood, because asking the sender for the rest"
            " of it has failed for good.",
            sentence(why, ()),
            "The buyers are not let in.",
        ),
        _joined(
            remedy,
            f"See why with: bridge lookups --state dead. When it is mended: bridge requeue --lookups --source {source}.",
        ),
        number,
    )


def lane_open(target: str, elapsed: timedelta) -> Sighting:
    """A target that is down."""
    return Sighting(
        AlertKind.LANE_OPEN,
        target,
        f"{target} has not answered for {span(elapsed)}. What is meant for it is kept and waits.",
        "The bridge asks by itself whether it is back, and then goes on. If it is not known to be down, bridge doctor"
        f" --target {target} tells whether its address is right.",
    )


def paused_itself(target: str, why: str, remedy: str, known: Iterable[Explanation]) -> Sighting:
    """A lane that the bridge has stopped: nearly always because the credentials are refused."""
    cause = sentence(why, known)
    moved = cause == ERRORS["redirected"].sentence
    return Sighting(
        AlertKind.LANE_PAUSED if moved else AlertKind.CREDENTIALS_REFUSED,
        target,
        _joined(f"{target} gets nothing any more.", cause or "It refuses every call.", "What is meant for it waits."),
        _joined(remedy, f"bridge doctor --target {target} tells more; after a change: bridge reload."),
    )


def paused_for_long(target: str, by: str, elapsed: timedelta) -> Sighting:
    """A lane that a person has stopped, and perhaps forgotten."""
    return Sighting(
        AlertKind.LANE_PAUSED,
        f"{target}: {by}",
        f"{name(by)} paused {target} {span(elapsed)} ago, and what is meant for it still waits.",
        f"When it may go on: bridge resume {target}.",
    )


def source_quiet(source: str, elapsed: timedelta, usual: timedelta) -> Sighting:
    """A source from which nothing comes any more."""
    return Sighting(
        AlertKind.SOURCE_QUIET,
        source,
        f"{source} has sent nothing for {span(elapsed)}; at this time of the week it is usually silent for no longer"
        f" than {span(usual)}.",
        "Look whether it still sells, and in its own settings whether it has switched the webhook off; bridge check shows the"
        f" address it has to call. bridge events --source {source} shows what came last.",
    )


def disk_low(free: int) -> Sighting:
    """The disk of the ledger is nearly full."""
    return Sighting(
        AlertKind.DISK_LOW,
        "ledger",
        f"Only {free // 2**20} MiB are free on the disk of the ledger. When it is full, senders are turned away until there is"
        " room.",
        "Make room on it, or give the ledger a larger one. bridge db retention says how long what is kept.",
    )


def clock_off(seconds: float, targets: Iterable[str]) -> Sighting:
    """The machine's clock differs from that of the targets."""
    way = "ahead of" if seconds > 0 else "behind"
    return Sighting(
        AlertKind.CLOCK_OFF,
        "clock",
        f"The clock of this machine is {abs(int(seconds))} seconds {way} the clocks of {', '.join(sorted(targets))}."
        " Senders' signatures that carry a time may be refused, and sign-ins at targets may fail.",
        "Set the machine's clock, and look whether its time service runs (timedatectl).",
    )


_AWAY = (
    "The ledger can't be written, or not be read. Senders are turned away and will send again; nothing that was accepted is"
    " lost."
)
_MEND_LEDGER = (
    "The reason stands in /readyz: a disk that is full, a lock, a database that is down. When it is mended the bridge goes on"
    " by itself, unless docs/operations.md says otherwise."
)
LEDGER_AWAY = (_AWAY, _MEND_LEDGER)
"""What is said while the ledger is away, and the next step: the one alert that can't be kept in it."""


def _joined(*parts: str) -> str:
    return " ".join(part for part in parts if part)
