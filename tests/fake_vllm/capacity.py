"""How many requests the fake engine runs at once. The others wait: the lowest `priority` goes
first, and of equals who came first, as with vLLM's --scheduling-policy priority.
"""

from __future__ import annotations

import asyncio
import heapq
import os
from itertools import count
from typing import Final

SLOTS: Final = int(os.environ.get("FAKE_VLLM_SLOTS", "0"))
"""0 for as many as come."""
KV_OF_ALL_SLOTS: Final = 0.75
"""The part of its cache that all slots together use: a little less than what is too much."""


class Slots:
    def __init__(self, most: int) -> None:
        self._most, self.taken = most, 0
        self._line = list[tuple[int, int, asyncio.Future[None]]]()
        self._numbers = count()

    @property
    def waiting(self) -> int:
        return sum(not place.done() for _priority, _number, place in self._line)

    @property
    def kv_use(self) -> float:
        return KV_OF_ALL_SLOTS * self.taken / self._most if self._most else 0.0

    def ask(self, priority: int) -> asyncio.Future[None]:
        """Done once a slot is taken; cancel it to leave the line."""
        place = asyncio.get_running_loop().create_future()
        heapq.heappush(self._line, (priority, next(self._numbers), place))
        self._hand_out()
        return place

    def give_back(self) -> None:
        self.taken -= 1
        self._hand_out()

    def _hand_out(self) -> None:
        while self._line and (not self._most or self.taken < self._most):
            _priority, _number, place = heapq.heappop(self._line)
            if not place.done():
                self.taken += 1
                place.set_result(None)
