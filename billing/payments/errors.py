"""What can be wrong with what Stripe shows."""

from __future__ import annotations

from typing import Final

from django.core.exceptions import ValidationError

from billing.ledger import BooksError


class NotOursError(Exception):
    """It is about nothing that we have begun: there is nothing to do."""


class MismatchError(Exception):
    """It is not what we asked for, so nothing is booked; says in what."""


class NeedlessError(Exception):
    """Nobody waits any more for what was to be sent; says why."""


WRONG: Final = (NotOursError, MismatchError, ValidationError, BooksError)
"""What one object can have that keeps it out of the books, and is to hold up no other."""


def same(what: str, ours: object, theirs: object) -> None:
    """MismatchError unless they are equal."""
    if ours != theirs:
        raise MismatchError(f"The {what} is {theirs}, ours is {ours}.")
