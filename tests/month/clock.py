"""The one clock of a month: it stands still until it is moved, for all that follow it at once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from mmap import mmap
from pathlib import Path
from typing import Final, override

import time_machine

VARIABLE: Final = "MONTH_CLOCK"
"""The file with the moment, for processes that follow it."""
_BYTES: Final = 8
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class Clock(time_machine.Traveller):
    """Shows the moment that stands in a file, in nanoseconds since 1970."""

    def __init__(self, path: Path) -> None:
        super().__init__(0, None, tick=False)
        if not path.exists():
            path.write_bytes(bytes(_BYTES))
        with path.open("r+b") as file:
            self._shared = mmap(file.fileno(), _BYTES)

    @override
    def time_ns(self) -> int:
        return int.from_bytes(self._shared[:_BYTES], "little")

    @property
    def now(self) -> datetime:
        return _EPOCH + timedelta(microseconds=self.time_ns() // 1000)

    def set(self, moment: datetime) -> None:
        """From here on it is `moment` in every process that follows it."""
        ns = (moment - _EPOCH) // _MICROSECOND * 1000
        self._shared[:_BYTES] = ns.to_bytes(_BYTES, "little")


@contextmanager
def followed(clock: Clock) -> Iterator[None]:
    """Within, `time.time` and `datetime.now` of this process are those of `clock`."""
    with time_machine.travel(0, tick=False):
        time_machine.traveller_stack[-1] = clock
        yield


def clock_follow() -> None:
    """Follow, from here to its end, the clock that this process was started with."""
    time_machine.travel(0, tick=False).start()
    time_machine.traveller_stack[-1] = Clock(Path(os.environ[VARIABLE]))
