"""Months that are closed while PostgreSQL, Stripe's double and both workers are killed.

`make kill-closes RUNS=20 FIRST=1` plays runs by their numbers: each has a step at which it kills,
moments that follow from its number, and organizations of its own.
"""
