"""What a person reads on a page."""

from __future__ import annotations

import re
from html import unescape
from typing import Any


def words_of(response: Any) -> str:
    """The words of a page without its tags, one space between any two."""
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", response.text)).split())
