"""Money and rates that are held for each request, in Valkey: reserve, settle, void, post, seed.

Gateways use `HoldsClient`, workers and pages the functions, which block.
"""

from __future__ import annotations

from billing.holds.asks import (
    MOST,
    Ask,
    Denied,
    Granted,
    HoldInvalid,
    LimitAsk,
    LimitState,
    StoreAway,
    Unknown,
)
from billing.holds.books import (
    GROUP,
    Posted,
    Posting,
    ScopeState,
    limits_state,
    post,
    post_many,
    scopes_state,
    seed,
    seed_many,
)
from billing.holds.client import HoldsClient
from billing.holds.orphans import (
    Hold,
    HoldsSeen,
    Reaped,
    Settled,
    ShardHolds,
    holds_abandon,
    holds_read,
    orphans,
    reap,
    running_count,
)

__all__ = [
    "GROUP",
    "MOST",
    "Ask",
    "Denied",
    "Granted",
    "Hold",
    "HoldInvalid",
    "HoldsClient",
    "HoldsSeen",
    "LimitAsk",
    "LimitState",
    "Posted",
    "Posting",
    "Reaped",
    "ScopeState",
    "Settled",
    "ShardHolds",
    "StoreAway",
    "Unknown",
    "holds_abandon",
    "holds_read",
    "limits_state",
    "orphans",
    "post",
    "post_many",
    "reap",
    "running_count",
    "scopes_state",
    "seed",
    "seed_many",
]
