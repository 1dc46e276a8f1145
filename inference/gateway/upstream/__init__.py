"""Calls of the engines: an HTTP/1.1 client that does what a gateway needs, and no more."""

from __future__ import annotations

from inference.gateway.upstream.client import Upstream
from inference.gateway.upstream.failures import Timeouts, Unreachable
from inference.gateway.upstream.reply import Reply

__all__ = ["Reply", "Timeouts", "Unreachable", "Upstream"]
