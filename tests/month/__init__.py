"""A month of real requests, and whether everything that counts their tokens counts the same.

**Real**: PostgreSQL and Valkey, gateways and a Celery worker as processes of their own, the SDKs
`openai` and `anthropic`, the close of the month with its PDFs, and `verify_invoice.py`, run as
customers run it. The engine is `tests.fake_vllm`.

**Moved** is the wall clock of this process, of the gateways and of the worker: one moment in a file
that all of them map, which stands still but where the story moves it on (`clock`). So admissions,
events, prices, credit, periods and watermarks are at moments of the story, and it is known to the
second on which day a request ended. What beat would start the story starts, at the times of beat.

**Not moved** are PostgreSQL's `now()` (by which gateways count as alive), Valkey's `TIME` (by which
rates are limited), the engine, and every clock that measures a span: time-outs, pauses, durations.
So the month must be one to come: PostgreSQL takes a rate that begins before its own time for begun.

A stream that its client cut tells no usage. Its tokens are those that the SDK got one by one, which
must be as many as the engine says it gave; so are those of a stream that broke, which are in the
rollups but on no invoice.
"""

from __future__ import annotations
