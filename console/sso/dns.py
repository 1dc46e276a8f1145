"""TXT records, as the resolver of this machine finds them."""

from __future__ import annotations

from typing import Final

import dns.exception
import dns.resolver
from dns.rdtypes.ANY.TXT import TXT

LIFETIME_S: Final = 5


def texts_at(name: str) -> list[str]:
    """None where the name has none, or nobody answers in time."""
    try:
        found = dns.resolver.resolve(name, "TXT", lifetime=LIFETIME_S)
    except dns.exception.DNSException:
        return []
    return [
        b"".join(record.strings).decode(errors="replace")
        for record in found
        if isinstance(record, TXT)
    ]
