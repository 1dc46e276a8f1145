"""The console's ASGI entry point."""

from __future__ import annotations

import os
from typing import Final

from asgiref.typing import ASGIReceiveCallable, ASGISendCallable, Scope
from django.conf import settings
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")

_django: Final = get_asgi_application()
_TOO_LARGE: Final = b"This is more than one request may hold.\n"


async def application(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
    """Django, but for bodies that it would write to the disk because of their size."""
    if scope["type"] == "http" and not _fits(dict(scope["headers"])):
        headers = [(b"content-type", b"text/plain")]
        await send({
            "type": "http.response.start", "status": 413, "headers": headers, "trailers": False,
        })  # fmt: skip
        await send({"type": "http.response.body", "body": _TOO_LARGE, "more_body": False})
    else:
        await _django(scope, receive, send)  # type: ignore[arg-type]  # django-stubs say less


def _fits(headers: dict[bytes, bytes]) -> bool:
    """Whether the body has a length, and one that is kept in memory."""
    length = headers.get(b"content-length", b"0")
    is_told = b"transfer-encoding" not in headers and length.isdigit()
    return is_told and int(length) <= settings.UPLOAD_MAX_BYTES
