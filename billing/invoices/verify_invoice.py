#!/usr/bin/env python3
"""Recompute an invoice from the requests that it bills: each line, the total and the root.

    python verify_invoice.py R2026-00001.json R2026-00001-usage.csv

Needs Python 3.11 or newer and nothing else, reads the two files and sends nothing. It prints what
it found; the exit code is 0 when all is right, 1 when something is not, 2 when it cannot tell.

What it recomputes:

* Each request: its tokens (cached ones apart) and seconds, times their prices, are its amount.
  Prices are for 1 000 000 tokens or 60 seconds, unless another number stands behind a stroke.
  Amounts have 12 decimals, rounded half to even. A request that failed costs nothing.
* Each line: the units and the exact amounts of all requests of its month and model at its price,
  rounded half up to two decimals, once.
* The total: the lines, and VAT on them, which some invoices tell in SEK as well.
* The root: a Merkle tree (RFC 6962, SHA-256) over the lines of usage.csv without its heading.
  Lines of the invoice have one over their own requests.
* The seal: SHA-256 of the invoice's JSON without it, with sorted keys and no spaces. It stands on
  the PDF, so that nothing else in the file can differ from it.
"""

from __future__ import annotations

import csv
import hashlib
import json
import sys
from collections.abc import Iterable, Sequence
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Context, Decimal
from pathlib import Path
from typing import Any

HEADING = (
    "request_id", "occurred_at", "admitted_at", "project", "api_key", "model", "endpoint",
    "outcome", "input_tokens", "cached_tokens", "output_tokens", "audio_seconds", "input_price",
    "cached_input_price", "output_price", "audio_second_price", "amount",
)  # fmt: skip
COMPONENTS = (
    ("input", 1_000_000), ("cached_input", 1_000_000), ("output", 1_000_000), ("audio_second", 60),
)  # fmt: skip
BILLED = {"completed", "client_disconnect", "gateway_crash"}
USED, CREDITS = {"usage", "late"}, {"discount", "promo", "prepaid"}
NOTHING, CENT, PICO = Decimal(0), Decimal("0.01"), Decimal("1e-12")
EXACT = Context(prec=60)
SHOWN = 50


class Tree:
    """A Merkle tree that grows by a line at a time."""

    def __init__(self) -> None:
        self.count = 0
        self.peaks: list[bytes] = []

    def add(self, line: bytes) -> None:
        hashed = hashlib.sha256(b"\0" + line).digest()
        self.count += 1
        full = self.count
        while not full & 1:
            hashed = hashlib.sha256(b"\1" + self.peaks.pop() + hashed).digest()
            full >>= 1
        self.peaks.append(hashed)

    def root(self) -> str:
        if not self.peaks:
            return hashlib.sha256().hexdigest()
        root = self.peaks[-1]
        for peak in reversed(self.peaks[:-1]):
            root = hashlib.sha256(b"\1" + peak + root).digest()
        return root.hex()


class Group:
    """The requests of one month and model at the same prices."""

    def __init__(self) -> None:
        self.units = [0] * len(COMPONENTS)
        self.exact = [NOTHING] * len(COMPONENTS)
        self.tree = Tree()

    def add(self, line: bytes, used: Sequence[int], costs: Sequence[Decimal]) -> None:
        self.tree.add(line)
        for index, (units, exact) in enumerate(zip(used, costs, strict=True)):
            self.units[index] += units
            self.exact[index] += exact


class Report:
    """What was looked at, and what is wrong of it."""

    def __init__(self) -> None:
        self.checks = 0
        self.wrong: list[str] = []

    def same(self, what: str, written: object, computed: object) -> None:
        self.true(f"{what}: written {written}, computed {computed}", written == computed)

    def true(self, otherwise: str, holds: bool) -> None:
        self.checks += 1
        if not holds:
            self.wrong.append(otherwise)


def verify(invoice: dict[str, Any], usage: Iterable[bytes]) -> Report:
    """Compare `invoice` (the JSON) with `usage` (the lines of the CSV)."""
    report = Report()
    report.same("seal", invoice.get("seal"), seal_of(invoice))
    tree, groups = requests_read(invoice, usage, report)
    report.same("number of requests", invoice["event_count"], tree.count)
    if invoice["root"] or tree.count:
        report.same("root", invoice["root"], tree.root())
    lines_check(invoice, groups, report)
    totals_check(invoice, report)
    return report


def seal_of(invoice: dict[str, Any]) -> str:
    rest = {name: value for name, value in invoice.items() if name != "seal"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def requests_read(
    invoice: dict[str, Any], usage: Iterable[bytes], report: Report
) -> tuple[Tree, dict[Any, Group]]:
    """The tree of all requests, and their groups by month, model and prices."""
    tree = Tree()
    groups: dict[Any, Group] = {}
    lines = iter(usage)
    heading = next(lines, b"").rstrip(b"\r\n").decode()
    report.same("heading of usage.csv", heading, ",".join(HEADING))
    for raw in lines:
        line = raw.rstrip(b"\r\n")
        tree.add(line)
        try:
            (fields,) = csv.reader([line.decode()])
            row = dict(zip(HEADING, fields, strict=True))
            request_read(invoice, line, row, groups, report)
        except (ArithmeticError, ValueError):
            report.true(f"line {tree.count + 1} of usage.csv cannot be read", False)
    return tree, groups


def request_read(
    invoice: dict[str, Any],
    line: bytes,
    row: dict[str, str],
    groups: dict[Any, Group],
    report: Report,
) -> None:
    name, day = f"request {row['request_id']}", row["occurred_at"][:10]
    is_billed = row["outcome"] in BILLED
    used = units_of(row) if is_billed else [0] * len(COMPONENTS)
    costs = [cost(row, index, units) for index, units in enumerate(used)]
    report.true(f"{name} is of {day}, after the period", day < invoice["period_end"])
    report.true(f"{name} has impossible counts", min(used) >= 0)
    report.same(f"amount of {name}", Decimal(row["amount"]), sum(costs, NOTHING))
    if is_billed:
        late = day[:7] + "-01" if day < invoice["period_start"] else None
        prices = tuple(row[f"{component}_price"] for component, _scale in COMPONENTS)
        groups.setdefault((late, row["model"], prices), Group()).add(line, used, costs)


def units_of(row: dict[str, str]) -> list[int]:
    fresh, cached = int(row["input_tokens"]), int(row["cached_tokens"])
    return [fresh - cached, cached, int(row["output_tokens"]), int(row["audio_seconds"])]


def cost(row: dict[str, str], index: int, units: int) -> Decimal:
    if not units:
        return NOTHING
    component, usual = COMPONENTS[index]
    price, scale = price_of(row[f"{component}_price"], usual)
    whole = EXACT.multiply(price, Decimal(units))
    return EXACT.divide(whole, Decimal(scale)).quantize(PICO, ROUND_HALF_EVEN, EXACT)


def price_of(text: str, usual: int) -> tuple[Decimal, int]:
    price, _stroke, scale = text.partition("/")
    return Decimal(price), int(scale or usual)


def lines_check(invoice: dict[str, Any], groups: dict[Any, Group], report: Report) -> None:
    """Each line of usage has its requests, and all requests have their line."""
    computed: dict[Any, tuple[int, Decimal]] = {}
    for (late, model, prices), group in groups.items():
        month, root = late or invoice["period_start"], group.tree.root()
        for index, (component, usual) in enumerate(COMPONENTS):
            if group.units[index]:
                key = (month, model, component, *price_of(prices[index], usual), root)
                computed[key] = group.units[index], group.exact[index]
    for line in invoice["lines"]:
        if line["kind"] in USED:
            line_check(line, computed, invoice, report)
    for _month, model, component, *_rest in computed:
        report.true(f"requests of {model} ({component}) are on no line", False)
    others_check([one for one in invoice["lines"] if one["kind"] not in USED], groups, report)


def others_check(lines: list[dict[str, Any]], groups: dict[Any, Group], report: Report) -> None:
    """What is no usage takes away, or is the one line of a top-up."""
    if [line["kind"] for line in lines] == ["top_up"]:
        report.true("there are requests on the invoice of a top-up", not groups)
        return
    for line in lines:
        report.true(f"line {line['position']} is of a kind unknown", line["kind"] in CREDITS)
    added = sum((Decimal(line["exact"]) for line in lines), NOTHING)
    report.true("credit and discounts add to what is to be paid", added <= 0)


def line_check(
    line: dict[str, Any], computed: dict[Any, tuple[int, Decimal]], invoice: dict[str, Any],
    report: Report,
) -> None:  # fmt: skip
    name = f"line {line['position']} ({line['model']} {line['component']})"
    is_late = line["month"] != invoice["period_start"]
    report.same(f"kind of {name}", line["kind"], "late" if is_late else "usage")
    price = Decimal(line["unit_price"])
    key = (line["month"], line["model"], line["component"], price, line["unit_scale"], line["root"])
    found = computed.pop(key, None)
    report.true(f"{name} is not of the requests at this price", found is not None)
    if found is not None:
        report.same(f"units of {name}", line["quantity"], found[0])
        report.same(f"exact amount of {name}", Decimal(line["exact"]), found[1])


def totals_check(invoice: dict[str, Any], report: Report) -> None:
    """Each amount is rounded once. Where credit has paid, the last line takes up the cents by which
    the rounded lines differ from the rounded sum.
    """
    lines = invoice["lines"]
    exact = sum((Decimal(line["exact"]) for line in lines), NOTHING)
    subtotal, rate = Decimal(invoice["subtotal"]), Decimal(invoice["vat_rate"])
    for place, line in enumerate(lines, 1):
        amount, own = Decimal(line["amount"]), Decimal(line["exact"])
        takes_up = place == len(lines) and line["kind"] in CREDITS
        report.same(f"position of line {place}", line["position"], place)
        if not takes_up:
            report.same(f"amount of line {place}", amount, own.quantize(CENT, ROUND_HALF_UP))
    added = sum((Decimal(line["amount"]) for line in lines), NOTHING)
    if any(line["kind"] in {"promo", "prepaid"} for line in lines):
        report.same("exact sum, rounded", subtotal, exact.quantize(CENT, ROUND_HALF_UP))
    vat = (subtotal * rate / 100).quantize(CENT, ROUND_HALF_UP)
    report.same("sum of the lines", subtotal, added)
    report.same("VAT", Decimal(invoice["vat_amount"]), vat)
    report.same("total", Decimal(invoice["total"]), subtotal + vat)
    if "vat_sek" in invoice:
        kronor = (vat * Decimal(invoice["sek_rate"])).quantize(CENT, ROUND_HALF_UP)
        report.same("VAT in SEK", Decimal(invoice["vat_sek"]), kronor)


def tell(invoice: dict[str, Any], report: Report) -> None:
    say(f"Invoice {invoice['number']} of {invoice['period_start']} to {invoice['period_end']}")
    say(f"  {invoice['event_count']} requests, {len(invoice['lines'])} lines")
    sums = f"subtotal {invoice['subtotal']}, VAT {invoice['vat_amount']}, total {invoice['total']}"
    say(f"  {sums} {invoice['currency']}")
    say(f"  root {invoice['root']}")
    say(f"  seal {invoice['seal']}")
    for wrong in report.wrong[:SHOWN]:
        say(f"WRONG  {wrong}")
    if len(report.wrong) > SHOWN:
        say(f"WRONG  and {len(report.wrong) - SHOWN} more")
    if report.wrong:
        say(f"NOT verified: {len(report.wrong)} of {report.checks} checks failed.")
    else:
        say(f"Verified: all {report.checks} checks hold.")


def say(text: str) -> None:
    sys.stdout.write(text + "\n")


def main(arguments: Sequence[str]) -> int:
    if len(arguments) != 2:
        sys.stderr.write("usage: verify_invoice.py INVOICE.json USAGE.csv\n")
        return 2
    try:
        invoice = json.loads(Path(arguments[0]).read_text("utf-8"))
        with Path(arguments[1]).open("rb") as usage:
            report = verify(invoice, usage)
        tell(invoice, report)
    except (OSError, LookupError, ValueError, TypeError, AttributeError, ArithmeticError) as error:
        sys.stderr.write(f"Cannot be read: {type(error).__name__}: {error}\n")
        return 2
    return 1 if report.wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
