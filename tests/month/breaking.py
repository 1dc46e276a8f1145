"""A count falsified past all that guards it, to see that it is found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

_UNGUARDED: Final = "SET LOCAL session_replication_role = replica"
_EVENT: Final = """
DELETE FROM billing_usageevent WHERE (organization_id, request_id) IN (
    SELECT organization_id, request_id FROM billing_usageevent WHERE amount > 0
    ORDER BY occurred_at DESC, request_id LIMIT 1
)
"""
_ROLLUP: Final = """
UPDATE billing_usageday SET input_tokens = 2 * input_tokens
WHERE (organization_id, day, api_key_id, model) IN (
    SELECT organization_id, day, api_key_id, model FROM billing_usageday WHERE input_tokens > 0
    ORDER BY day, api_key_id LIMIT 1
)
"""
BREAKS: Final[Mapping[str, str]] = {"event": _EVENT, "rollup": _ROLLUP}
"""One event is dropped; what one key has used in a day is doubled."""


def falsify(what: str, execute: Callable[[str], object]) -> None:
    """Within one transaction, as somebody who may keep triggers from firing."""
    execute(_UNGUARDED)
    execute(BREAKS[what])
