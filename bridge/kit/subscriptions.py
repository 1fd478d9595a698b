"""What adapters say of subscriptions in the same words, whoever the sender is."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from bridge.contract.command import Action, EnrollmentCommand
from bridge.kit.payload import command


def payment_failed(grace: timedelta, told: Mapping[str, Any], **about: Any) -> EnrollmentCommand:
    """Return what a failed payment of a subscription comes to: suspended after ``grace``, unless it is paid before then.

    Args:
        grace: from the failure on.
        told: what all commands of the event share; ``occurred_at`` is among it.
        about: which subscription it is.

    Raises:
        PayloadInvalid: a value can't be used; the command's field is named.
    """
    occurred_at: datetime = told["occurred_at"]
    try:
        then = occurred_at + grace
    except OverflowError:  # a grace that outlasts the calendar
        then = datetime.max.replace(tzinfo=occurred_at.tzinfo)
    return command(**told, **about, action=Action.SUSPEND, effective_at=then)
