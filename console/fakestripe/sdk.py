"""The SDK's way to the double within one process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, override
from urllib.parse import urlsplit

import stripe
from multidict import CIMultiDict

from console.fakestripe.http import ConnectionLost, Request, Response

_connection_error: Callable[..., Exception] = stripe.APIConnectionError
"""Untyped in the SDK."""


class InProcess(stripe.HTTPClient):
    """Takes the place of the SDK's HTTP client; what is lost looks as it does on a network."""

    name = "in-process"

    def __init__(self, answer: Callable[[Request], Response]) -> None:
        super().__init__()
        self._answer = answer

    @override
    def request(
        self, method: str, url: str, headers: Mapping[str, str] | None, post_data: Any = None,
        **options: Any,
    ) -> tuple[str, int, Mapping[str, str]]:  # fmt: skip
        parts = urlsplit(url)
        named = {name.lower(): value for name, value in (headers or {}).items()}
        body = post_data.decode() if isinstance(post_data, bytes) else post_data or ""
        try:
            response = self._answer(Request(method.upper(), parts.path, parts.query, body, named))
        except ConnectionLost as lost:
            message = f"Unexpected error communicating with Stripe. (Network error: {lost})"
            raise _connection_error(message) from lost
        return response.body.decode(), response.status, CIMultiDict(response.headers)

    @override
    def close(self) -> None:
        """There is nothing to close."""
