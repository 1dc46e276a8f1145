"""The program that customers get: it finds every value that is not what the requests make of it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from copy import deepcopy
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from billing.invoices import VERIFIER, invoice_close, usage_bundle, usage_csv
from billing.invoices.verify_invoice import main, seal_of, verify
from billing.ledger import prepaid_top_up, promo_grant
from billing.models import Invoice, Outcome
from tests.billing.invoices.conftest import APRIL_1, CHANGED, CHANGING, MAY_1, Use
from tests.conftest import Cast

pytestmark = pytest.mark.django_db
SOME = {"input_tokens": 123_457, "cached_tokens": 4_001, "output_tokens": 9_999}


@pytest.fixture
def invoice(cast: Cast, use: Use, changing: None) -> Invoice:
    """Of April: usage at two prices, late usage, a failed request, and both kinds of credit."""
    use(SOME)
    invoice_close(cast.acme, date(2026, 3, 1), APRIL_1)
    promo_grant(
        actor=None, organization=cast.acme, amount=Decimal("0.05"), expires_at=None, reason="Hi"
    )
    prepaid_top_up(actor=None, organization=cast.acme, amount=Decimal("0.2"), reference="1")
    use(
        {**SOME, "at": CHANGED, "model": CHANGING},
        {**SOME, "at": APRIL_1},
        {**SOME, "at": APRIL_1, "model": CHANGING},
        {"at": APRIL_1, "outcome": Outcome.UPSTREAM_ERROR, "input_tokens": 7},
    )
    return invoice_close(cast.acme, date(2026, 4, 1), MAY_1)


def rows_of(invoice: Invoice) -> list[bytes]:
    return [line.encode() for line in usage_csv(invoice)]


def plain(invoice: Invoice) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(usage_bundle(invoice)))
    return found


def test_an_invoice_is_verified_by_the_program_alone(invoice: Invoice, tmp_path: Path) -> None:
    paper, usage = tmp_path / "invoice.json", tmp_path / "usage.csv"
    paper.write_text(json.dumps(usage_bundle(invoice)))
    usage.write_bytes(b"".join(rows_of(invoice)))
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, str(VERIFIER), str(paper), str(usage)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Verified: all" in done.stdout
    assert invoice.root in done.stdout
    usage.write_bytes(b"".join(rows_of(invoice)[:-1]))
    assert main([str(paper), str(usage)]) == 1
    assert main([str(paper)]) == 2


def test_every_single_value_of_the_invoice_that_is_another_is_found(invoice: Invoice) -> None:
    """And that of a line or a sum even where somebody has sealed it anew."""
    right, usage = plain(invoice), rows_of(invoice)
    assert verify(right, usage).wrong == []
    tried = 0
    for path in leaves(right):
        forged = deepcopy(right)
        flip(forged, path)
        assert verify(forged, usage).wrong, path
        forged["seal"] = seal_of(forged)
        if is_recomputed(path, right):
            assert verify(forged, usage).wrong, path
        tried += 1
    assert tried > 100


@pytest.mark.parametrize("kind", ["fee", "top_up", "discount", "prepaid"])
def test_a_line_that_no_request_stands_behind_is_found(invoice: Invoice, kind: str) -> None:
    forged, usage = plain(invoice), rows_of(invoice)
    *_, last = lines = forged["lines"]
    lines.append({**last, "position": len(lines) + 1, "kind": kind, "exact": "1", "amount": "1.00"})
    subtotal = Decimal(forged["subtotal"]) + 1
    vat = (subtotal * Decimal(forged["vat_rate"]) / 100).quantize(Decimal("0.01"))
    sums = {"subtotal": subtotal, "vat_amount": vat, "total": subtotal + vat}
    forged |= {name: str(amount) for name, amount in sums.items()}
    forged["seal"] = seal_of(forged)
    wrong = " ".join(verify(forged, usage).wrong)
    assert "of a kind unknown" in wrong or "add to what is to be paid" in wrong


RECOMPUTED = {
    "root", "event_count", "subtotal", "vat_amount", "total", "quantity", "unit_price",
    "unit_scale", "component", "month", "model", "amount",
}  # fmt: skip


def is_recomputed(path: tuple[Any, ...], bundle: dict[str, Any]) -> bool:
    """What credit has paid for is not told by the requests, but for the sum."""
    if path[0] == "lines" and bundle["lines"][path[1]]["kind"] in {"promo", "prepaid"}:
        return bool(path[-1] == "amount")
    return path[-1] in RECOMPUTED


def test_every_request_that_is_another_or_missing_or_moved_is_found(invoice: Invoice) -> None:
    right, usage = plain(invoice), rows_of(invoice)
    heading, first, second, *others = usage
    for place in range(len(first) - 1):
        row = bytearray(first)
        row[place] ^= 1
        assert verify(right, [heading, bytes(row), second, *others]).wrong, place
    for changed in ([second], [first, first, second], [second, first]):
        wrong = verify(right, [heading, *changed, *others]).wrong
        assert any(one.startswith("root") for one in wrong)


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, dict | list):
        for key, one in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(one, (*path, key))
    else:
        yield path


def flip(bundle: Any, path: tuple[Any, ...]) -> None:
    """Another value of the same kind: the last digit of a number."""
    *way, last = path
    for key in way:
        bundle = bundle[key]
    old = bundle[last]
    if isinstance(old, bool) or old is None:
        bundle[last] = not old
    elif isinstance(old, int):
        bundle[last] = old + 1
    else:
        bundle[last] = old[:-1] + chr(ord(old[-1]) ^ 1) if old else "x"
