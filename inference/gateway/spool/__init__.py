"""The spool: an append-only file of each process, synced, from which nothing billed is lost."""

from __future__ import annotations

from inference.gateway.spool.committer import REASONS, SpoolClosed
from inference.gateway.spool.folder import life_of
from inference.gateway.spool.records import Dispatch, Settled
from inference.gateway.spool.spool import Limits, Spool, SpoolState

__all__ = [
    "REASONS", "Dispatch", "Limits", "Settled", "Spool", "SpoolClosed", "SpoolState", "life_of",
]  # fmt: skip
