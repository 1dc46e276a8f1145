"""How granian serves an application: options for all who start it.

Only HTTP/1: to tell HTTP/2 apart the server would wait for the first bytes of a connection, and
there for ever. So a connection that is silent, or slow with its headers, is closed in time.
"""

from __future__ import annotations

from typing import Final

HEADERS_TIMEOUT_MS: Final = 30_000

OPTIONS: Final = (
    "--loop=uvloop",
    "--workers=1",
    "--http=1",
    "--no-ws",
    f"--http1-header-read-timeout={HEADERS_TIMEOUT_MS}",
)
