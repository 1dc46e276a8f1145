"""What may stand in an entry: JSON of a bounded size, and nothing that opens a door."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

REDACTED: Final = "[redacted]"
MAX_TEXT: Final = 2_000
MAX_ITEMS: Final = 200
SECRET_NAMES: Final = re.compile(
    r"(^|_)(password|passphrase|secret|token|authorization|cookie|pepper|private_key|otp)($|_)"
)
"""Names of fields whose value is never written down. Counts of tokens have names of their own."""
COUNTS: Final = re.compile(r"(^|_)tokens?_|_tokens$|^token_(count|limit)s?$|_per_")
SECRET_TEXTS: Final = re.compile(
    r"\bsluice_[a-z]{2}_[0-9A-Za-z_-]{8,}"
    r"|\bBearer\s+\S+"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----"
    r"|\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*",
    re.IGNORECASE,
)
PERSONAL_NAMES: Final = frozenset({
    "email", "emails", "from_email", "to_email", "ip", "user_agent", "person", "phone",
})  # fmt: skip
"""Names of facts about a person: encrypted under the person's key."""


def redacted(data: Mapping[str, Any]) -> dict[str, Any]:
    """`data` less its secrets: by the name of a field, and by how a text looks."""
    return {name: REDACTED if _is_secret(name) else _value(one) for name, one in data.items()}


def personal_split(data: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The facts of `data` that are about no person, and those that are; empty ones left out."""
    personal = {name: one for name, one in data.items() if name in PERSONAL_NAMES}
    rest = {name: one for name, one in data.items() if name not in PERSONAL_NAMES}
    return rest, {name: one for name, one in personal.items() if one}


def _is_secret(name: str) -> bool:
    return bool(SECRET_NAMES.search(name.lower())) and not COUNTS.search(name.lower())


def _value(value: Any) -> Any:
    if isinstance(value, str):
        text = SECRET_TEXTS.sub(REDACTED, value.replace("\0", "\ufffd"))
        return text if len(text) <= MAX_TEXT else text[:MAX_TEXT] + "…"
    if isinstance(value, Mapping):
        return redacted({str(name): one for name, one in value.items()})
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_value(one) for one in list(value)[:MAX_ITEMS]]
    return value
