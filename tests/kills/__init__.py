"""Real processes, killed and frozen under load at every step of a request, and what must hold.

`make kill-tests RUNS=40 FIRST=1` plays runs by their numbers: each has a case, moments that follow
from its number, and organizations of its own.
"""
