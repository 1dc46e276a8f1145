"""The audit trail: who did what, when and from where, in chains that show when they are touched.

`record` is its only writer. `tenants.audit.checks` looks the chains through, `anchors` writes their
heads elsewhere, and `proofs` makes exports that anyone can verify.
"""

from __future__ import annotations

from tenants.audit.context import KEY_ACTS, Origin, acting, origin
from tenants.audit.erasure import addresses_erase, person_erase
from tenants.audit.personal import ERASED, personal_open
from tenants.audit.recording import record, record_of_person

__all__ = [
    "ERASED",
    "KEY_ACTS",
    "Origin",
    "acting",
    "addresses_erase",
    "origin",
    "person_erase",
    "personal_open",
    "record",
    "record_of_person",
]
