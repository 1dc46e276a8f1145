"""Months of traffic that never was: organizations, their requests, and the books of it.

The same seed and the same hour make the same rows.
"""

from __future__ import annotations
