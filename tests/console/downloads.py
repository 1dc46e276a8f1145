"""Files that are sent as they are made."""

from __future__ import annotations

from typing import Any

from asgiref.sync import async_to_sync


@async_to_sync
async def downloaded(response: Any) -> str:
    """What a browser would save."""
    return b"".join([part async for part in response]).decode()
