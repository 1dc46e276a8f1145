"""What can be wrong with what Stripe shows."""

from __future__ import annotations


class NotOursError(Exception):
    """It is about nothing that we have begun: there is nothing to do."""


class MismatchError(Exception):
    """It is not what we asked for, so nothing is booked; says in what."""


def same(what: str, ours: object, theirs: object) -> None:
    """MismatchError unless they are equal."""
    if ours != theirs:
        raise MismatchError(f"The {what} is {theirs}, ours is {ours}.")
