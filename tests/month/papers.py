"""The invoices of a month as customers get them: on paper, and to be verified by a program."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from billing.invoices import VERIFIER, invoice_pdf, usage_bundle, usage_csv
from billing.models import Invoice

_TIMEOUT_S: Final = 120


class Papers(NamedTuple):
    """How many `invoices` of usage and of top-ups there are, how many the program `verified`, and
    what is `wrong` with the others.
    """

    invoices: int
    verified: int
    wrong: Sequence[str]


def papers_verify(folder: Path) -> Papers:
    """Each invoice by a process of its own, that has nothing of ours."""
    invoices = Invoice.objects.numbered().select_related("organization").order_by("number")
    wrong = {invoice.number: list(_wrong(invoice, folder)) for invoice in invoices}
    whys = [why for found in wrong.values() for why in found]
    return Papers(len(wrong), sum(not found for found in wrong.values()), whys)


def _wrong(invoice: Invoice, folder: Path) -> Iterator[str]:
    who = f"{invoice.organization.slug}, {invoice.period_start}: invoice {invoice.number}"
    paper, usage = folder / "invoice.json", folder / "usage.csv"
    paper.write_text(json.dumps(usage_bundle(invoice)))
    usage.write_text("".join(usage_csv(invoice)))
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-I", str(VERIFIER), str(paper), str(usage)],
        capture_output=True, text=True, check=False, timeout=_TIMEOUT_S,
    )  # fmt: skip
    if done.returncode:
        yield f"{who} does not verify: {done.stdout}{done.stderr}"
    if not invoice_pdf(invoice).startswith(b"%PDF-"):
        yield f"{who} has no PDF"
