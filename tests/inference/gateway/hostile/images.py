"""Images that lie, fetch, or unfold; in each API that takes images."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Final

from tests.inference.gateway.conftest import MODEL
from tests.inference.gateway.hostile.case import Case, post_json


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png(width: int, height: int) -> bytes:
    start = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", start)


def _url(image: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(image).decode()}"


_TINY: Final = _png(1, 1) + _chunk(b"IDAT", zlib.compress(b"\0\0")) + _chunk(b"IEND", b"")
_GIF: Final = b"GIF89a\1\0\1\0\x80\0\0" + bytes(6)
_FRAME: Final = b",\0\0\0\0\xff\xff\xff\xff\0"
_WEBP: Final = b"RIFF\x1e\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0"
_JPEG: Final = b"\xff\xd8\xff\xe0\x00\x10JFIF\0\1\1\0\0\1\0\1\0\0"

URLS: Final[dict[str, str]] = {
    "nothing": "",
    "http": "http://example.com/cat.png",
    "https": "https://example.com/cat.png",
    "the metadata service": "http://169.254.169.254/latest/meta-data/",
    "a file": "file:///etc/passwd",
    "a path": "/etc/passwd",
    "ftp": "ftp://example.com/cat.png",
    "gopher": "gopher://127.0.0.1:6379/_FLUSHALL",
    "javascript": "javascript:alert(1)",
    "a blob": "blob:https://example.com/1",
    "no scheme": "//example.com/cat.png",
    "a blank before it": " " + _url(_TINY),
    "text": "data:text/plain,hello",
    "HTML": "data:text/html;base64,PGgxPg==",
    "SVG": _url(b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml"),
    "a PDF": _url(b"%PDF-1.7", "application/pdf"),
    "a picture that says it is text": _url(_TINY, "text/html"),
    "a picture that says it is a film": _url(_TINY, "video/mp4"),
    "a picture of no kind": _url(_TINY, ""),
    "a film": _url(b"\0\0\0\x18ftypmp42", "video/mp4"),
    "a TIFF": _url(b"II*\0\x08\0\0\0", "image/tiff"),
    "an ICO": _url(b"\0\0\1\0\1\0\1\1", "image/x-icon"),
    "no base64": "data:image/png,hello",
    "bad base64": "data:image/png;base64,@@@@",
    "base64 of URLs": "data:image/png;base64,_-_-",
    "base64 cut short": _url(_TINY)[:-3],
    "a comma alone": "data:image/png;base64,",
    "a URL in it": "data:image/png;base64,http://example.com/cat.png",
    "text that says it is a PNG": _url(b"hello"),
    "a program": _url(b"MZ\x90\0"),
    "half a PNG": _url(_png(1, 1)[:12]),
    "a PNG without a size": _url(b"\x89PNG\r\n\x1a\n"),
    "a PNG of no width": _url(_png(0, 10)),
    "a PNG of no height": _url(_png(10, 0)),
    "a PNG of 3.6 gigapixels": _url(_png(60_000, 60_000)),
    "a PNG of the largest size": _url(_png(2**31 - 1, 2**31 - 1)),
    "a PNG with a negative size": _url(_png(2**32 - 1, 2**32 - 1)),
    "a PNG that is one long line": _url(_png(2**31 - 1, 1)),
    "a GIF of 4 gigapixels": _url(b"GIF89a" + struct.pack("<HH", 65535, 65535) + bytes(8)),
    "a PNG that says two sizes": _url(_png(1, 1) + _png(60_000, 60_000)[8:]),
    "a GIF of one pixel with a frame of 4 gigapixels": _url(_GIF + _FRAME),
    "a GIF with that frame after a comment": _url(_GIF + b"!\xfe\x21" + b"," * 33 + b"\0" + _FRAME),
    "a GIF with that frame after junk": _url(_GIF + b"junk" + _FRAME),
    "a GIF with a million blocks": _url(_GIF + b"!\xfe" + b"\1x" * 30_000),
    "a PNG with 5,000 texts and a second size": _url(
        _png(1, 1) + _chunk(b"tEXt", b"") * 5_000 + _png(60_000, 60_000)[8:]
    ),
    "half a GIF": _url(b"GIF89a\1"),
    "a WebP of 281 terapixels": _url(_WEBP + b"\xff\xff\xff\xff\xff\xff"),
    "half a WebP": _url(_WEBP[:16]),
    "a JPEG of 4 gigapixels": _url(
        _JPEG + b"\xff\xc0\x00\x11\x08\xff\xff\xff\xff\x03" + bytes(9), "image/jpeg"
    ),
    "half a JPEG": _url(_JPEG, "image/jpeg"),
}


def _chat(*urls: str) -> dict[str, Any]:
    parts = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    return {"model": MODEL, "messages": [{"role": "user", "content": parts}]}


def _responses(*urls: str) -> dict[str, Any]:
    parts = [{"type": "input_image", "image_url": url} for url in urls]
    return {"model": MODEL, "input": [{"role": "user", "content": parts}]}


def _messages(*urls: str) -> dict[str, Any]:
    parts = [{"type": "image", "source": _source(url)} for url in urls]
    return {"model": MODEL, "max_tokens": 2, "messages": [{"role": "user", "content": parts}]}


def _source(url: str) -> dict[str, str]:
    """Anthropic's way to send an image: what is no `data:` URL is one to fetch."""
    kind, mark, data = url.removeprefix("data:").partition(";base64,")
    if not mark:
        return {"type": "url", "url": url}
    return {"type": "base64", "media_type": kind, "data": data}


_APIS: Final[dict[str, Callable[..., dict[str, Any]]]] = {
    "chat/completions": _chat,
    "responses": _responses,
    "messages": _messages,
}


def cases() -> Iterator[Case]:
    for path, body in _APIS.items():
        for name, url in URLS.items():
            yield post_json(f"{path}: the image {name}", f"/v1/{path}", body(url))
        for count in (21, 500):
            urls = [_url(_TINY)] * count
            yield post_json(f"{path}: {count} images", f"/v1/{path}", body(*urls))
        second = body(_url(_TINY), URLS["a PNG of 3.6 gigapixels"])
        yield post_json(f"{path}: a bad image after a good one", f"/v1/{path}", second)
