"""CSV files: cells that a spreadsheet reads as text, and long ones a piece at a time."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from typing import Final

from asgiref.sync import sync_to_async
from django.http import StreamingHttpResponse

FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet would take a cell that begins with it for."""
CSV: Final = "text/csv; charset=utf-8"

type Rows = Iterable[Sequence[object]]


def cell(text: str) -> str:
    """`text` as text: with a quote before it where a spreadsheet would run it as a formula."""
    return f"'{text}" if text.startswith(FORMULA) else text


def attachment(name: str) -> dict[str, str]:
    """Headers of a file that is saved as `name`."""
    return {"Content-Disposition": f'attachment; filename="{name}"'}


def csv_stream(name: str, pieces: Iterator[Rows]) -> StreamingHttpResponse:
    """A file `name` whose `pieces` are read from the database one after the other."""
    return StreamingHttpResponse(_lines(pieces), content_type=CSV, headers=attachment(name))


async def _lines(pieces: Iterator[Rows]) -> AsyncIterator[str]:
    def following() -> Rows | None:
        return next(pieces, None)

    while (rows := await sync_to_async(following)()) is not None:
        yield _text(rows)


def _text(rows: Rows) -> str:
    out = io.StringIO()
    csv.writer(out).writerows(rows)
    return out.getvalue()
