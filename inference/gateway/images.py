"""Images within a request: only those that came with it, of a known kind, and not too large.

A few bytes can unfold into gigabytes of pixels at the engine, so that what an image says of its
size is read before any engine sees it.
"""

from __future__ import annotations

import binascii
import io
import re
from base64 import b64decode
from collections.abc import Iterable
from typing import Final

import imagesize

from inference.gateway.errors import InvalidRequest
from inference.limits import Limits

_DATA_URL: Final = re.compile(r"data:(?P<kind>[^;,]*);base64,", re.IGNORECASE)
_STARTS: Final = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a")


def check_images(urls: Iterable[str], param: str, limits: Limits) -> None:
    """Refuse what is no image, or one too many, or too large. Raises InvalidRequest for `param`."""
    try:
        for count, url in enumerate(urls, start=1):
            if count > limits.images:
                raise ValueError(f"There are more than {limits.images} images. Send fewer.")
            _check(url, limits.pixels)
    except ValueError as error:
        raise InvalidRequest(str(error), param=param, code="invalid_image") from None


def _check(url: str, limit: int) -> None:
    width, height = _size(_bytes(url))
    if width * height > limit:
        text = f"An image of {width} × {height} has more than {limit:,} pixels. Send a smaller one."
        raise ValueError(text)


def _bytes(url: str) -> bytes:
    found = _DATA_URL.match(url)
    if found is None:
        raise ValueError("Send the image itself, as `data:image/png;base64,…`.")
    try:
        return b64decode(url[found.end() :], validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("An image is not valid base64.") from None


def _size(image: bytes) -> tuple[int, int]:
    width, height = -1, -1
    if image.startswith(_STARTS) or (image.startswith(b"RIFF") and image[8:12] == b"WEBP"):
        try:
            width, height = imagesize.get(io.BytesIO(image))
        except Exception:
            width, height = -1, -1
    if width <= 0 or height <= 0:
        raise ValueError("An image cannot be read. Send a PNG, JPEG, WebP or GIF.")
    return width, height
