"""How many retries a model may have."""

from __future__ import annotations


class RetryBudget:
    def deposit(self) -> None:
        """A request came."""

    def take(self) -> bool:
        """Whether one more retry may be made; it counts."""
        return True
