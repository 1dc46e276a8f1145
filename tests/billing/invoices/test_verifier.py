"""The program that customers get, on an invoice that was worked out by hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import pytest

from billing.invoices.verify_invoice import HEADING, main, seal_of, verify
from tests.billing.invoices.test_pure import tree

TOKENS: Final = "0.5,0.1,1.5,0.01"
ROWS: Final = [
    # A million fresh tokens, and 233 333 that were answered.
    f"r1,2026-04-01T00:00:00Z,2026-04-01T00:00:00Z,P,K,m,chat,completed,1000000,0,233333,0,{TOKENS},0.8499995",
    # It was cut off; 4 of its 10 tokens were cached.
    f"r2,2026-04-30T23:59:59Z,2026-04-30T23:59:59Z,P,K,m,chat,client_disconnect,10,4,0,0,{TOKENS},0.0000034",
    # Of the month before: 61 seconds, at one cent a minute.
    f"r3,2026-03-31T23:59:59Z,2026-03-31T23:59:59Z,P,K,m,audio,completed,0,0,0,61,{TOKENS},0.010166666667",
    # It failed.
    f"r4,2026-04-03T08:00:00Z,2026-04-03T08:00:00Z,P,K,m,chat,upstream_error,7,0,0,0,{TOKENS},0",
    # At a price for a thousand.
    "r5,2026-04-03T08:00:00Z,2026-04-03T08:00:00Z,P,K,n,chat,gateway_crash,0,0,10,0,1,1,2/1000,1,0.02",
]  # fmt: skip


def root_of(*rows: str) -> str:
    return tree([row.encode() for row in rows]).hex()


def line(
    position: int, kind: str, exact: str, amount: str, component: str = "", quantity: int = 1,
    price: str = "0", scale: int = 1, *, model: str = "m", month: str = "2026-04-01",
    root: str = "",
) -> dict[str, Any]:  # fmt: skip
    return {
        "position": position, "kind": kind, "month": month, "model": model, "exact": exact,
        "amount": amount, "component": component, "quantity": quantity, "unit_price": price,
        "unit_scale": scale, "root": root,
    }  # fmt: skip


def sealed(invoice: dict[str, Any]) -> dict[str, Any]:
    text = json.dumps(invoice, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return {**invoice, "seal": sha256(text.encode()).hexdigest()}


def invoice() -> dict[str, Any]:
    first = {"root": root_of(ROWS[0], ROWS[1])}
    lines = [
        line(1, "usage", "0.500003", "0.50", "input", 1_000_006, "0.5", 10**6, **first),
        line(2, "usage", "0.0000004", "0.00", "cached_input", 4, "0.1", 10**6, **first),
        line(3, "usage", "0.3499995", "0.35", "output", 233_333, "1.5", 10**6, **first),
        line(4, "usage", "0.02", "0.02", "output", 10, "2", 1000, model="n",
             root=root_of(ROWS[4])),
        line(5, "late", "0.010166666667", "0.01", "audio_second", 61, "0.01", 60,
             month="2026-03-01", root=root_of(ROWS[2])),
        # The sum of all is 0.625169566667; what the lines above are together is 0.88.
        line(6, "promo", "-0.255", "-0.25"),
    ]  # fmt: skip
    return sealed({
        "number": "R2026-00001", "period_start": "2026-04-01", "period_end": "2026-05-01",
        "event_count": 5, "root": root_of(*ROWS), "lines": lines, "currency": "EUR",
        "subtotal": "0.63", "vat_rate": "25", "vat_amount": "0.16", "total": "0.79",
        "customer": "Åkerö",
    })  # fmt: skip


def usage(rows: Iterable[str] = ROWS) -> list[bytes]:
    return [f"{text}\r\n".encode() for text in (",".join(HEADING), *rows)]


def wrong(change: Callable[[dict[str, Any]], object], rows: Iterable[str] = ROWS) -> list[str]:
    """What is found when the invoice was changed, and sealed anew."""
    forged = invoice()
    change(forged)
    forged["seal"] = seal_of(forged)
    return [one.partition(":")[0] for one in verify(forged, usage(rows)).wrong]


def test_an_invoice_that_is_right_passes_each_check(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paper, lines = tmp_path / "invoice.json", tmp_path / "usage.csv"
    paper.write_text(json.dumps(invoice()))
    lines.write_bytes(b"".join(usage()))
    assert main([str(paper), str(lines)]) == 0
    right = invoice()
    assert capsys.readouterr().out == (
        "Invoice R2026-00001 of 2026-04-01 to 2026-05-01\n"
        "  5 requests, 6 lines\n"
        "  subtotal 0.63, VAT 0.16, total 0.79 EUR\n"
        f"  root {right['root']}\n"
        f"  seal {right['seal']}\n"
        "Verified: all 56 checks hold.\n"
    )


def test_a_file_that_is_none_is_told_from_one_that_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paper, lines = tmp_path / "invoice.json", tmp_path / "usage.csv"
    lines.write_bytes(b"".join(usage()))
    assert main([str(paper), str(lines)]) == 2
    for text in ("{", "[]", '{"seal": 1}', json.dumps(invoice() | {"total": "much"})):
        paper.write_text(text)
        assert main([str(paper), str(lines)]) == 2
    assert capsys.readouterr().err.count("Cannot be read: ") == 5
    assert main([str(paper), str(lines), "x"]) == 2
    assert "usage:" in capsys.readouterr().err


@pytest.mark.parametrize(("count", "shown"), [(48, 50), (70, 51)])
def test_of_many_findings_fifty_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], count: int, shown: int
) -> None:
    """Each line that cannot be read is one, and so are the count and the root."""
    paper, lines = tmp_path / "invoice.json", tmp_path / "usage.csv"
    paper.write_text(json.dumps(invoice()))
    lines.write_bytes(b"".join(usage([*ROWS, *["nonsense"] * count])))
    assert main([str(paper), str(lines)]) == 1
    said = capsys.readouterr().out.splitlines()
    found = [text for text in said if text.startswith("WRONG  ")]
    assert len(found) == shown
    assert (found[-1] == f"WRONG  and {count + 2 - 50} more") is (shown == 51)
    assert said[-1] == f"NOT verified: {count + 2} of {56 + count} checks failed."


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda one: one.update(event_count=4), ["number of requests"]),
        (lambda one: one.update(root="0"), ["root"]),
        (lambda one: one.update(vat_amount="0.15"), ["VAT"]),
        (lambda one: one.update(total="0.80"), ["total"]),
        (lambda one: one.update(vat_rate="24", vat_amount="0.15", total="0.78"), []),
        (lambda one: one.update(subtotal="0.64"), ["exact sum, rounded", "sum of the lines",
                                                   "total"]),
        (lambda one: one["lines"][0].update(quantity=1), ["units of line 1 (m input)"]),
        (lambda one: one["lines"][0].update(exact="0.500004"),
         ["exact amount of line 1 (m input)"]),
        (lambda one: one["lines"][2].update(amount="0.34"), ["amount of line 3",
                                                             "sum of the lines"]),
        (lambda one: one["lines"][1].update(position=3), ["position of line 2"]),
        (lambda one: one["lines"][4].update(kind="usage"),
         ["kind of line 5 (m audio_second)"]),
        (lambda one: one["lines"][0].update(kind="late"), ["kind of line 1 (m input)"]),
        (lambda one: one["lines"][3].update(unit_price="3"),
         ["line 4 (n output) is not of the requests at this price",
          "requests of n (output) are on no line"]),
        (lambda one: one["lines"][3].update(unit_scale=10**6),
         ["line 4 (n output) is not of the requests at this price",
          "requests of n (output) are on no line"]),
        (lambda one: one["lines"][5].update(amount="-0.26"), ["sum of the lines"]),
        (lambda one: one.update(period_end="2026-04-30"),
         ["request r2 is of 2026-04-30, after the period"]),
    ],
)  # fmt: skip
def test_each_thing_that_is_another_is_named(
    change: Callable[[dict[str, Any]], object], found: list[str]
) -> None:
    assert wrong(change) == found


def test_the_seal_is_of_all_that_stands_there() -> None:
    forged = invoice() | {"customer": "Somebody else"}
    assert [one[:4] for one in verify(forged, usage()).wrong] == ["seal"]
    assert seal_of(invoice()) == invoice()["seal"]


@pytest.mark.parametrize(
    ("place", "old", "new", "found"),
    [
        (0, ",0.8499995", ",0.85", ["amount of request r1"]),
        (3, "0.01,0", "0.01,1", ["amount of request r4"]),
        (1, ",10,4,", ",3,4,", ["request r2 has impossible counts", "amount of request r2"]),
        (4, ",0.02", ",x", ["line 6 of usage.csv cannot be read"]),
    ],
)
def test_each_request_that_is_another_is_named(
    place: int, old: str, new: str, found: list[str]
) -> None:
    rows = [*ROWS]
    assert old in rows[place]
    rows[place] = rows[place].replace(old, new)
    named = [one for one in wrong(lambda one: None, rows) if "request r" in one or "usage" in one]
    assert named == found


def test_requests_in_another_order_have_another_root() -> None:
    assert wrong(lambda one: None, [ROWS[0], ROWS[2], ROWS[1], *ROWS[3:]]) == ["root"]


def test_without_requests_there_is_no_root() -> None:
    nothing = sealed({
        **{name: value for name, value in invoice().items() if name != "seal"},
        "event_count": 0, "root": "", "lines": [], "subtotal": "0", "vat_amount": "0", "total": "0",
    })  # fmt: skip
    assert verify(nothing, usage([])).wrong == []
    assert [one[:7] for one in verify(nothing, []).wrong] == ["heading"]
