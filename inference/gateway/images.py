"""Images within a request: only those that came with it, of a known kind, and not too large.

A few bytes can unfold into gigabytes of pixels at the engine, so that what an image says of its
size is read before any engine sees it.
"""

from __future__ import annotations

import binascii
import io
import re
import struct
from base64 import b64decode
from collections.abc import Iterable
from typing import Final, NamedTuple

import imagesize

from inference.gateway.errors import InvalidRequest
from inference.limits import Limits

_DATA_URL: Final = re.compile(r"data:image/(?:png|jpe?g|webp|gif);base64,", re.IGNORECASE)
MAX_BLOCKS: Final = 10_000
"""Of what stands in an image before its pixels."""
_HAS_COLOURS: Final = 0x80
_EXTENSION: Final = 0x21
_FRAME: Final = 0x2C
_STARTS: Final = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a")


class Shown(NamedTuple):
    """How many images there are, and the characters of their URLs."""

    images: int
    url_chars: int


def check_images(urls: Iterable[str], param: str, limits: Limits) -> Shown:
    """Refuse what is no image, or one too many, or too large. Raises InvalidRequest for `param`."""
    count = url_chars = 0
    try:
        for count, url in enumerate(urls, start=1):
            if count > limits.images:
                raise ValueError(f"There are more than {limits.images} images. Send fewer.")
            _check(url, limits.pixels)
            url_chars += len(url)
    except ValueError as error:
        raise InvalidRequest(str(error), param=param, code="invalid_image") from None
    return Shown(count, url_chars)


def _check(url: str, limit: int) -> None:
    width, height = _size(_bytes(url))
    if width * height > limit:
        text = f"An image of {width} × {height} has more than {limit:,} pixels. Send a smaller one."
        raise ValueError(text)


def _bytes(url: str) -> bytes:
    found = _DATA_URL.match(url)
    if found is None:
        raise ValueError("Send the image itself, as `data:image/png;base64,…`; or JPEG, WebP, GIF.")
    try:
        return b64decode(url[found.end() :], validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("An image is not valid base64.") from None


def _size(image: bytes) -> tuple[int, int]:
    width, height = -1, -1
    if image.startswith(_STARTS) or (image.startswith(b"RIFF") and image[8:12] == b"WEBP"):
        try:
            width, height = _unfolded(image, *imagesize.get(io.BytesIO(image)))
        except Exception:
            width, height = -1, -1
    if width <= 0 or height <= 0:
        raise ValueError("An image cannot be read. Send a PNG, JPEG, WebP or GIF.")
    return width, height


def _unfolded(image: bytes, width: int, height: int) -> tuple[int, int]:
    """The size that a decoder makes of an image whose first words say `width` and `height`."""
    if image.startswith(b"\x89PNG"):
        return (width, height) if _heads(image) == 1 else (-1, -1)
    if image.startswith(b"GIF8"):
        right, bottom = _first_frame(image)
        return max(width, right), max(height, bottom)
    return width, height


def _heads(png: bytes) -> int:
    """How many chunks say a size before the pixels; a decoder may believe the last."""
    position, heads = 8, 0
    for _ in range(MAX_BLOCKS):
        if position + 8 > len(png):
            return heads
        length, kind = struct.unpack_from(">I4s", png, position)
        if kind == b"IDAT":
            return heads
        heads += kind == b"IHDR"
        position += 12 + length
    return 0


def _first_frame(gif: bytes) -> tuple[int, int]:
    """Where the first frame ends, to the right and below; it may reach out of the screen."""
    position = 13 + (3 << (gif[10] & 7) + 1 if gif[10] & _HAS_COLOURS else 0)
    is_extension = False
    for _ in range(MAX_BLOCKS):
        if position + 9 > len(gif):
            return 0, 0
        mark = gif[position]
        if is_extension:
            position += mark
            is_extension = mark > 0
        elif mark == _FRAME:
            left, top, width, height = struct.unpack_from("<4H", gif, position + 1)
            return left + width, top + height
        elif mark == _EXTENSION:
            position += 1
            is_extension = True
        position += 1
    raise ValueError("more blocks than any honest GIF has")
