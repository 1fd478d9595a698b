"""The table of a registration's states: every combination, and every way from one to the other."""

from __future__ import annotations

from itertools import product

import pytest

from bridge.ledger.registrations import wins
from bridge.ledger.states import TRANSITIONS, Intent, State, derive, outlasts_hold

FLAGS = (False, True)
COMBINATIONS = list(product(Intent, FLAGS, FLAGS, FLAGS))

# What a sender, or the end of access, may make of an intent. Nothing is left to suspend or to expire of what is over.
MOVES = {
    Intent.LIVE: set(Intent),
    Intent.SUSPENDED: {Intent.SUSPENDED, Intent.LIVE, Intent.EXPIRED, Intent.CANCELLED},
    Intent.EXPIRED: {Intent.EXPIRED, Intent.LIVE, Intent.CANCELLED},
    Intent.CANCELLED: {Intent.CANCELLED, Intent.LIVE, Intent.SUSPENDED},
}
OVER = {Intent.SUSPENDED: State.SUSPENDED, Intent.EXPIRED: State.EXPIRED, Intent.CANCELLED: State.CANCELLED}


@pytest.mark.parametrize(("intent", "missing", "leaving", "dead"), COMBINATIONS)
def test_every_combination_has_its_state(intent: Intent, missing: bool, leaving: bool, dead: bool):
    """What is wanted and not so yet is under way, or failed where a dead letter is in the way; else it is as wanted."""
    state = derive(intent, missing=missing, leaving=leaving, dead=dead)
    under_way = missing if intent is Intent.LIVE else leaving
    if under_way and dead:
        assert state is State.FAILED
    elif under_way:
        assert state is (State.PENDING if intent is Intent.LIVE else State.CANCELLING)
    else:
        assert state is (State.ACTIVE if intent is Intent.LIVE else OVER[intent])


def test_the_transitions_are_those_that_can_happen():
    """Neither more nor fewer: facts change as they like, intents only as senders and the clock may change them."""
    possible: dict[State, set[State]] = {state: set() for state in State}
    for intent, *facts in COMBINATIONS:
        before = derive(intent, missing=facts[0], leaving=facts[1], dead=facts[2])
        for after_intent, missing, leaving, dead in COMBINATIONS:
            if after_intent in MOVES[intent]:
                possible[before].add(derive(after_intent, missing=missing, leaving=leaving, dead=dead))
    assert {state: found - {state} for state, found in possible.items()} == TRANSITIONS


@pytest.mark.parametrize("state", State)
def test_a_state_is_settled_when_nothing_is_under_way(state: State):
    """Only then may CRM and mailing be told."""
    assert state.settled is (state not in (State.PENDING, State.CANCELLING, State.FAILED))


def test_every_state_can_be_reached_from_every_other_in_the_end():
    """Everything may come back."""
    for start in State:
        reached = {start}
        while more := {after for state in reached for after in TRANSITIONS[state]} - reached:
            reached |= more
        assert reached == set(State)


@pytest.mark.parametrize(("old", "new"), list(product(Intent, Intent)))
def test_of_two_words_the_newer_counts_and_of_one_time_the_stronger(old: Intent, new: Intent):
    """A sender without times is taken at its word."""
    assert wins(old, 10, new, 11, dated=True)
    assert not wins(old, 10, new, 9, dated=True)
    assert wins(old, 10, new, 10, dated=True) is (new.rank > old.rank)
    assert wins(old, 10, new, 9, dated=False)


def test_only_live_and_suspended_registrations_hold_their_place():
    """A repeat finds them; beside an expired or cancelled one there is room for a new purchase."""
    assert [intent for intent in Intent if intent.alive] == [Intent.LIVE, Intent.SUSPENDED]


@pytest.mark.parametrize(("kept", "at"), list(product(Intent, (9, 10, 11))))
def test_what_was_put_off_outlasts_what_is_newer_unless_a_newer_word_says_that_it_is_paid(kept: Intent, at: int):
    """What is newer is a hold, then, or the end of one; what is over has nothing left to outlast."""
    assert outlasts_hold(kept, at, 10) is (kept.alive and at >= 10)
