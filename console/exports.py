"""CSV files: cells that a spreadsheet reads as text, and long ones a piece at a time."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from typing import Final

from asgiref.sync import sync_to_async
from django.http import StreamingHttpResponse

from tenants.tenancy import Standing, current, standing_as

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
    return text_stream(name, CSV, map(_text, pieces))


def text_stream(name: str, kind: str, texts: Iterator[str]) -> StreamingHttpResponse:
    """A file `name` of the content type `kind`, made a text at a time."""
    sent = _sent(texts, current())
    return StreamingHttpResponse(sent, content_type=kind, headers=attachment(name))


async def _sent(texts: Iterator[str], standing: Standing) -> AsyncIterator[str]:
    """They are read when the request is over, by whoever asked for them."""

    def following() -> str | None:
        with standing_as(standing):
            return next(texts, None)

    while (text := await sync_to_async(following)()) is not None:
        yield text


def _text(rows: Rows) -> str:
    out = io.StringIO()
    csv.writer(out).writerows(rows)
    return out.getvalue()
