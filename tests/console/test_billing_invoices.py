"""The customer's invoices with their files, address and VAT id, and plan."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from billing.invoices import VERIFIER, credit_note_issue, invoice_close
from billing.limiting import terms_set
from billing.models import BillingProfile, Invoice, Mode, Plan
from billing.payments import payment_enter
from tests.billing import conftest as rated
from tests.billing.invoices import conftest as months
from tests.conftest import Cast
from tests.console.downloads import downloaded
from tests.console.log_in import log_in_freshly
from tests.console.words import words_of

URL = "/o/acme/billing/invoices/"
ADDRESS = "/o/acme/billing/address/"
TYPED = {
    "legal_name": "Acme AB", "is_business": "on", "address": "Gatan 1", "postcode": "111 22",
    "city": "Stockholm", "country": "SE", "vat_id": "SE556677889901", "email": "cfo@acme.test",
}  # fmt: skip
use, record, rates = months.use, rated.record, rated.rates


@pytest.fixture
def olivia(client: Client, cast: Cast) -> Client:
    return log_in_freshly(client, cast.olivia)


@pytest.fixture
def march(cast: Cast, use: Callable[..., None]) -> Invoice:
    """An invoice of two requests."""
    use({}, {"output_tokens": 30_000_000})
    return invoice_close(cast.acme, months.MARCH.date(), months.APRIL_1)


def test_an_invoice_is_listed_and_opened_with_its_lines(olivia: Client, march: Invoice) -> None:
    assert march.number in words_of(olivia.get(URL))

    page = words_of(olivia.get(f"{URL}{march.pk}/"))

    assert march.number in page
    assert march.root in page
    for line in march.lines.all():
        assert " ".join(line.text.split()) in page


def test_its_files_verify_on_another_machine(
    olivia: Client, march: Invoice, tmp_path: Path
) -> None:
    for name in ("invoice.json", "usage.csv"):
        (tmp_path / name).write_text(_saved(olivia.get(f"{URL}{march.pk}/{name}")))
    program = tmp_path / "verify_invoice.py"
    program.write_text(_saved(Client().get("/verify_invoice.py")))

    argv = [sys.executable, "-I", program.name, "invoice.json", "usage.csv"]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)  # noqa: S603

    assert done.returncode == 0, done.stdout + done.stderr
    assert program.read_text() == VERIFIER.read_text()


def _saved(answer: Any) -> str:
    return downloaded(answer) if answer.streaming else answer.content.decode()


def test_the_pdf_is_one(olivia: Client, march: Invoice) -> None:
    answer = olivia.get(f"{URL}{march.pk}/invoice.pdf")

    assert answer["Content-Type"] == "application/pdf"
    assert answer.content.startswith(b"%PDF-")
    assert f"{march.number}.pdf" in answer["Content-Disposition"]


def test_a_credit_note_stands_on_its_invoice(olivia: Client, cast: Cast, march: Invoice) -> None:
    note = credit_note_issue(
        actor=cast.oskar, invoice=march, reason="An outage in March", amount=Decimal("0.01")
    )

    page = olivia.get(f"{URL}{march.pk}/")

    assert "An outage in March" in page.text
    found = olivia.get(f"/o/acme/billing/credit-notes/{note.pk}.pdf")
    assert found.content.startswith(b"%PDF-")


def test_a_top_up_has_an_invoice_of_its_own(olivia: Client, cast: Cast) -> None:
    payment_enter(actor=cast.oskar, organization=cast.acme, amount=Decimal(125), reference="bank 1")

    said = words_of(olivia.get(f"{URL}?kind=top_up"))

    assert "Top-up Paid" in said
    assert "€100.00 €125.00 PDF" in said
    assert "No invoice is like this." in words_of(olivia.get(f"{URL}?kind=usage"))


def test_before_the_first_invoice_the_page_says_when_it_comes(olivia: Client) -> None:
    assert "No invoices yet." in words_of(olivia.get(URL))


def test_an_invoice_of_another_organization_does_not_exist(
    client: Client, cast: Cast, march: Invoice
) -> None:
    log_in_freshly(client, cast.rita)
    for name in ("", "invoice.pdf", "usage.csv", "invoice.json"):
        assert client.get(f"/o/rival/billing/invoices/{march.pk}/{name}").status_code == 404


def test_an_address_is_kept_and_says_which_vat_holds(olivia: Client, cast: Cast) -> None:
    assert olivia.post(ADDRESS, TYPED)["Location"] == ADDRESS

    profile = BillingProfile.objects.get()
    assert (profile.legal_name, profile.vat_id) == ("Acme AB", "SE556677889901")
    said = words_of(olivia.get(ADDRESS))
    assert "Rate 25 %" in said
    assert "Acme AB cfo@acme.test" in words_of(olivia.get("/o/acme/billing/"))


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ({"vat_id": "SE123"}, "This is no VAT id of SE"),
        ({"vat_id": "nonsense"}, "This is no VAT id of SE"),
        ({"vat_id": "DE136695976"}, "This is no VAT id of SE"),
        ({"country": "S1"}, "two letters"),
        ({"legal_name": ""}, "This field is required."),
        ({"email": "nobody"}, "Enter a valid email address."),
    ],
)
def test_what_cannot_stand_on_an_invoice_is_told_at_its_field(
    olivia: Client, typed: dict[str, str], message: str
) -> None:
    answer = olivia.post(ADDRESS, TYPED | typed)

    assert answer.status_code == 422
    assert message in answer.text
    assert BillingProfile.objects.count() == 0


def plan_of(cast: Cast, slug: str) -> Plan:
    plan = Plan.objects.get(slug=slug)
    terms_set(
        actor=cast.oskar, organization=cast.acme, plan=plan, mode=Mode(plan.mode),
        credit_limit=plan.credit_limit,
    )  # fmt: skip
    return plan


def test_a_plan_is_changed_to_another_that_is_paid_in_advance(olivia: Client, cast: Cast) -> None:
    plan_of(cast, "free")
    assert "You are on the plan Free." in words_of(olivia.get("/o/acme/billing/plan/"))
    assert "20 → 300" in olivia.get("/o/acme/billing/plan/build/").text

    answer = olivia.post("/o/acme/billing/plan/build/", follow=True)

    assert "You are on the plan Build." in words_of(answer)


def test_to_pay_afterwards_is_for_us_to_allow(olivia: Client, cast: Cast) -> None:
    plan_of(cast, "free")

    answer = olivia.post("/o/acme/billing/plan/scale/")

    assert answer.status_code == 422
    assert "Ask us for this plan" in answer.text
    assert "You are on the plan Free." in words_of(olivia.get("/o/acme/billing/plan/"))
