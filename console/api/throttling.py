"""How often a caller may ask: so many requests in each minute, counted in Valkey."""

from __future__ import annotations

import time
from typing import Any, Final, override

import redis
from django.conf import settings
from django.http import HttpResponse
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from console.api.callers import caller_of
from tenants.valkey import client

MINUTE_S: Final = 60


class CallerThrottle(BaseThrottle):
    """Without Valkey nobody is refused."""

    @override
    def allow_request(self, request: Request, view: APIView) -> bool:
        caller = caller_of(request)
        self.count = _counted(caller.id) if caller else 0
        request._request.META["sluice.throttle"] = self
        return self.count <= settings.MANAGEMENT_REQUESTS_PER_MINUTE

    @override
    def wait(self) -> float:
        return MINUTE_S - time.time() % MINUTE_S

    def told(self, response: HttpResponse) -> None:
        """The headers that OpenAI's SDK knows."""
        most = settings.MANAGEMENT_REQUESTS_PER_MINUTE
        left = max(0, most - self.count)
        response.headers["x-ratelimit-limit-requests"] = str(most)
        response.headers["x-ratelimit-remaining-requests"] = str(left)


def _counted(who: str) -> int:
    """How many requests of `who` this minute has seen, with this one."""
    name = f"management:{who}:{int(time.time()) // MINUTE_S}"
    try:
        pipeline: Any = client().pipeline()
        count, _ = pipeline.incr(name).expire(name, 2 * MINUTE_S).execute()
    except redis.RedisError:
        return 0
    return int(count)
