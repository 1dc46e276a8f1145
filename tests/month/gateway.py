"""`python -m tests.month.gateway`: the gateway as it is, by the clock of the month."""

from __future__ import annotations

from tests.month.clock import clock_follow

clock_follow()

from inference.gateway.__main__ import main  # noqa: E402 - what it imports may look at the clock

if __name__ == "__main__":
    main()
