"""`python -m tests.bench`: the gateway on one core, beside nginx; docs/benchmarks.md says how."""

from __future__ import annotations
