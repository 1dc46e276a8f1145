from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from billing.ledger import Wallet, wallet_read
from billing.models import (
    Account,
    AccountKind,
    BillingProfile,
    Mode,
    Payment,
    Plan,
    Terms,
    Transfer,
    VatTreatment,
)
from billing.price_books import list_book, price_book_create
from billing.profiles import vat_decide
from tenants.models import AuditEntry
from tests.conftest import Cast
from tests.console.log_in import log_in_freshly
from tests.console.operator.conftest import text_of

URL = "/operator/organizations/acme/"
GRANT = {"amount": "5", "last_day": "", "reason": "Welcome", "reference": "f1"}


def wallet(cast: Cast) -> Wallet:
    return wallet_read([cast.acme.pk])[cast.acme.pk]


def recorded(cast: Cast, action: str) -> dict[str, Any]:
    """What the trail holds of the one act of this kind."""
    found = AuditEntry.objects.for_organization(cast.acme).get(action=action)
    data: dict[str, Any] = found.data
    return data


def test_who_has_no_terms_pays_afterwards_and_without_limit(operator: Client) -> None:
    page = text_of(operator.get(URL))
    assert "<dt>Payment</dt><dd>Postpaid</dd>" in page
    assert "<dt>Available</dt><dd>No limit</dd>" in page


def test_terms_are_set_and_shown(operator: Client, cast: Cast) -> None:
    plan = Plan.objects.get(slug="build")
    typed = {"plan": str(plan.pk), "mode": "postpaid", "credit_limit": "250"}
    assert operator.post(f"{URL}terms/", typed).status_code == 302
    terms = Terms.objects.get(organization=cast.acme)
    assert (terms.plan, terms.mode, terms.credit_limit) == (plan, Mode.POSTPAID, Decimal(250))
    page = text_of(operator.get(URL))
    assert "<dt>Plan</dt><dd>Build " in page
    assert "up to €250.00" in page
    assert recorded(cast, "terms.set")["plan"] == "build"
    form = operator.get(f"{URL}terms/").context["form"]
    assert [form.initial[name] for name in typed] == [plan, "postpaid", Decimal(250)]


def test_prepaid_without_a_payment_is_told_to_be_refused(operator: Client, cast: Cast) -> None:
    operator.post(f"{URL}terms/", {"plan": "", "mode": "prepaid", "credit_limit": ""})
    assert "Its requests are refused" in text_of(operator.get(URL))
    operator.post(f"{URL}payment/", {"amount": "25", "reference": "BG 1"})
    page = text_of(operator.get(URL))
    assert '<dt>Available</dt><dd><span class="st">€20.00</span></dd>' in page
    assert "refused" not in page
    paid = Payment.objects.for_organization(cast.acme).get()
    assert [paid.reference, paid.vat, paid.created_by] == ["BG 1", 5, cast.oskar]


def test_a_payment_that_was_entered_already_is_told_so(operator: Client, cast: Cast) -> None:
    paid = {"amount": "25", "reference": "BG 1"}
    assert operator.post(f"{URL}payment/", paid).status_code == 302
    again = operator.post(f"{URL}payment/", paid)
    assert again.status_code == 422
    assert "entered already" in text_of(again)
    assert wallet(cast).prepaid == 20


def test_a_grant_may_be_used_through_its_last_day(operator: Client, cast: Cast) -> None:
    last = timezone.now().date() + timedelta(days=1)
    operator.post(f"{URL}grant/", GRANT | {"last_day": last.isoformat()})
    lot = Account.objects.get(kind=AccountKind.PROMO)
    end = last + timedelta(days=1)
    assert lot.expires_at == datetime(end.year, end.month, end.day, tzinfo=UTC)
    page = text_of(operator.get(URL))
    assert "<dt>Promotional credit</dt><dd>€5.00</dd>" in page
    assert recorded(cast, "credit.grant")["amount"] == "5"


def test_a_grant_that_is_sent_twice_is_granted_once(operator: Client, cast: Cast) -> None:
    for _time in range(2):
        assert operator.post(f"{URL}grant/", GRANT).status_code == 302
    assert wallet(cast).promo == 5
    forms = [operator.get(f"{URL}grant/").context["form"] for _time in range(2)]
    assert forms[0]["reference"].value() != forms[1]["reference"].value()


@pytest.mark.parametrize(
    ("page", "typed", "said"),
    [
        ("payment", {"amount": "0", "reference": "1"}, "greater than or equal to 0.01"),
        ("payment", {"amount": "-5", "reference": "1"}, "greater than or equal to 0.01"),
        ("payment", {"amount": "0.001", "reference": "1"}, "no more than 2 decimal places"),
        ("payment", {"amount": "9000001", "reference": "1"}, "less than or equal to 9000000"),
        ("payment", {"amount": "NaN", "reference": "1"}, "Enter a number"),
        ("payment", {"amount": "5", "reference": ""}, "required"),
        ("grant", GRANT | {"last_day": "2020-01-01"}, "This day is over."),
        ("grant", GRANT | {"reason": ""}, "required"),
        ("terms", {"mode": "prepaid", "credit_limit": "5"}, "Prepaid has no credit limit"),
        ("terms", {"mode": "postpaid", "credit_limit": "-1"}, "greater than or equal to 0"),
        ("terms", {"mode": "barter", "credit_limit": ""}, "Select a valid choice"),
    ],
)
def test_what_was_typed_wrong_is_explained(
    operator: Client, cast: Cast, page: str, typed: dict[str, str], said: str
) -> None:
    answer = operator.post(f"{URL}{page}/", typed)
    assert answer.status_code == 422
    assert said in text_of(answer)
    assert not Transfer.objects.exists()
    assert not Terms.objects.exists()


def test_a_plan_is_changed_with_a_reason_and_brings_what_it_sets(
    operator: Client, cast: Cast
) -> None:
    scale = Plan.objects.get(slug="scale")
    typed = {"plan": str(scale.pk), "credit_limit": "750", "reason": "They grow"}
    assert operator.post(f"{URL}plan/", typed | {"reason": ""}).status_code == 422
    assert operator.post(f"{URL}plan/", typed).status_code == 302
    terms = Terms.objects.get(organization=cast.acme)
    assert [terms.plan, terms.mode, terms.credit_limit] == [scale, Mode.POSTPAID, 750]
    assert recorded(cast, "plan.change")["plan"] == "scale"


def test_a_price_book_of_its_own_is_put_on_its_terms(operator: Client, cast: Cast) -> None:
    own = price_book_create(
        actor=None, slug="acme", name="Acme 2027", parent=list_book(), organization=cast.acme
    )
    price_book_create(
        actor=None, slug="rival", name="Rival", parent=list_book(), organization=cast.rival
    )
    offered = operator.get(f"{URL}book/").context["form"].fields["book"].queryset
    assert list(offered) == [own]
    operator.post(f"{URL}book/", {"book": str(own.pk), "reason": "Contract"})
    assert "<dt>Prices</dt><dd>Acme 2027" in text_of(operator.get(URL))
    assert recorded(cast, "terms.set_book")["book"] == "acme"


def test_a_currency_is_chosen_while_there_is_no_money(operator: Client, cast: Cast) -> None:
    assert operator.post(f"{URL}currency/", {"currency": "SEK"}).status_code == 302
    operator.post(f"{URL}grant/", GRANT)
    refused = operator.post(f"{URL}currency/", {"currency": "EUR"})
    assert refused.status_code == 422
    assert "its currency stays" in text_of(refused)
    assert "SEK 5.00" in text_of(operator.get(URL))


def test_evidence_of_a_vat_id_is_kept_when_vies_does_not_answer(
    operator: Client, cast: Cast
) -> None:
    page, today = f"{URL}vat/", timezone.now().astimezone(UTC).date()
    assert operator.get(page).status_code == 404, "there is no VAT id"
    profile = BillingProfile.objects.create(
        organization=cast.acme, legal_name="Acme GmbH", country="DE", vat_id="DE136695976"
    )
    assert vat_decide(profile, today).treatment == VatTreatment.CONSUMER
    typed = {
        "answer": "valid", "source": "VIES, web page", "reference": "WAPIAAAA1", "name": "ACME",
        "day": today.isoformat(),
    }  # fmt: skip
    late = operator.post(page, typed | {"day": "2999-01-01"})
    assert "has not come yet" in text_of(late)
    assert operator.post(page, typed).status_code == 302
    profile.refresh_from_db()
    assert vat_decide(profile, today).treatment == VatTreatment.REVERSE_CHARGE
    assert profile.vat_evidence["reference"] == "WAPIAAAA1"
    assert recorded(cast, "billing_profile.vat_check")["source"] == "VIES, web page"
    assert "VIES, web page" in text_of(operator.get(URL))


SHEETS = ["plan", "terms", "book", "currency", "payment", "grant"]


@pytest.mark.parametrize("page", SHEETS)
def test_money_asks_who_is_there(operator: Client, cast: Cast, page: str) -> None:
    log_in_freshly(operator, cast.oskar, age_s=3600)
    answer = operator.post(f"{URL}{page}/", GRANT)
    assert "reauthenticate" in answer["Location"]
    assert not Transfer.objects.exists()


@pytest.mark.parametrize("page", SHEETS)
def test_a_dialog_is_the_part_of_its_page(operator: Client, page: str) -> None:
    part = text_of(operator.get(f"{URL}{page}/", headers={"HX-Request": "true"}))
    assert part.startswith("<form")
    assert "Not paid yet" in part
    assert "<form" in text_of(operator.get(f"{URL}{page}/"))
    assert operator.get(f"/operator/organizations/nobody/{page}/").status_code == 404


@pytest.mark.parametrize("page", SHEETS)
def test_a_customer_sets_no_terms(customer: Client, page: str) -> None:
    assert customer.post(f"{URL}{page}/", GRANT).status_code == 404
    assert not Transfer.objects.exists()
