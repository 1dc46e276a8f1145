"""Who buys: one organization for each way to pay, and what all of them are sold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from django.utils import timezone

from billing.ledger import promo_grant
from billing.limiting import limit_set, plan_create, terms_set
from billing.models import (
    Component,
    Currency,
    Invoice,
    LimitKind,
    Mode,
    PriceBook,
)
from billing.payments import payment_enter
from billing.plans import currency_set, plan_change, terms_set_book
from billing.price_books import list_book, price_book_create, tiers_set
from billing.profiles import profile_set, vat_evidence_set
from billing.services import rate_set
from inference import control
from inference.models import Engine, Task
from tenants import services
from tenants.models import Organization, Project, User
from tests.month.asking import CHAT_MODEL, READER_MODEL
from tests.month.world import ENGINE_KEY, ENGINE_MODEL

PRICES: Final = {Component.INPUT: "150", Component.CACHED_INPUT: "37.5", Component.OUTPUT: "600"}
"""EUR a million tokens: high, so that a month of little requests has every digit."""
IN_SEK: Final = Decimal("11.3")
RPM: Final = 2
ESTONIAN: Final = "EE100931558"


@dataclass(frozen=True)
class Buyer:
    """`key` is for all it asks, `slow_key` may do so RPM times a minute."""

    organization: Organization
    key: str
    slow_key: str

    @property
    def slug(self) -> str:
        return self.organization.slug


class Operator:
    """Who sets prices, enters payments and looks at invoices."""

    def __init__(self) -> None:
        self.user = User.objects.create_user("operator@month.test", None, is_staff=True)
        self._payments = 0

    def pay(
        self, organization: Organization, amount: Decimal, invoice: Invoice | None = None
    ) -> None:
        """`amount` reached the bank, with VAT: for credit, or of an invoice."""
        self._payments += 1
        payment_enter(
            actor=self.user, organization=organization, amount=amount, invoice=invoice,
            reference=f"bank-{self._payments}",
        )  # fmt: skip

    def price(
        self, price: str, component: Component, *, book: PriceBook | None = None,
        at: datetime | None = None,
    ) -> None:  # fmt: skip
        """Of the model that all buy, from `at` (now) on."""
        rate_set(
            actor=self.user, model=CHAT_MODEL, component=component, price=Decimal(price),
            valid_from=at, book=book,
        )  # fmt: skip

    def vat_id_check(self, organization: Organization) -> None:
        """A VAT id is believed for a month; here a person has asked."""
        profile = organization.billing_profile
        vat_evidence_set(
            actor=self.user, profile=profile, is_valid=True, source="by hand",
            checked_at=timezone.now(),
        )  # fmt: skip


def models_make(engine_url: str) -> None:
    """One for chats and one for embeddings, with a price in both lists."""
    region = control.region_create(
        actor=None, code="se", site="Luleå", country="SE", jurisdiction="EU"
    )
    backend = control.backend_register(
        actor=None, name="gpu-1", base_url=engine_url, engine=Engine.VLLM, region=region,
        key=ENGINE_KEY,
    )  # fmt: skip
    for name, tasks in ((CHAT_MODEL, [Task.CHAT]), (READER_MODEL, [Task.EMBEDDING])):
        model = control.model_create(
            actor=None, public_id=name, name=name.title(), tasks=tasks, context_tokens=2048,
            owned_by="Acme",
        )  # fmt: skip
        for component in model.components:
            price = Decimal(PRICES[component])
            rate_set(actor=None, model=name, component=component, price=price)
            rate_set(
                actor=None, model=name, component=component, price=price * IN_SEK,
                book=list_book(Currency.SEK),
            )  # fmt: skip
        control.model_deploy(actor=None, model=model, backend=backend, engine_model=ENGINE_MODEL)
        control.model_set_enabled(actor=None, model=model, enabled=True)


def buyers_make(operator: Operator) -> Mapping[str, Buyer]:
    """By their short names; the docstring of each function says how it pays."""
    made = (
        _prepaid(operator), _postpaid(operator), _abroad(operator), _crowns(operator),
        _promoted(operator),
    )  # fmt: skip
    return {one.slug: _with_keys(one, operator) for one in made}


def _prepaid(operator: Operator) -> Organization:
    """In advance, in EUR, from Sweden; it has little, and runs dry."""
    found = _organization("prepaid", "SE")
    terms_set(
        actor=operator.user, organization=found, plan=None, mode=Mode.PREPAID, credit_limit=None
    )
    operator.pay(found, Decimal("2.50"))
    return found


def _postpaid(operator: Operator) -> Organization:
    """Afterwards, in EUR, from Sweden, up to a limit."""
    found = _organization("postpaid", "SE")
    terms_set(
        actor=operator.user, organization=found, plan=None, mode=Mode.POSTPAID,
        credit_limit=Decimal(5000),
    )  # fmt: skip
    return found


def _abroad(operator: Operator) -> Organization:
    """Afterwards, in EUR, a business in Estonia; a price book of its own, with discounts."""
    found = _organization("abroad", "EE", ESTONIAN)
    book = price_book_create(
        actor=operator.user, slug="abroad", name="Abroad", parent=list_book(), organization=found
    )
    operator.price("533.33", Component.OUTPUT, book=book)
    tiers_set(
        actor=operator.user, book=book,
        tiers=[(Decimal("0.01"), Decimal(5)), (Decimal("1.5"), Decimal("7.5"))],
    )  # fmt: skip
    terms_set_book(actor=operator.user, organization=found, book=book, reason="Agreed on")
    operator.vat_id_check(found)
    return found


def _crowns(operator: Operator) -> Organization:
    """Afterwards, in SEK."""
    found = _organization("crowns", "SE")
    currency_set(actor=operator.user, organization=found, currency=Currency.SEK)
    return found


def _promoted(operator: Operator) -> Organization:
    """In advance, on a plan with free credit each month, and once more; a person in Finland."""
    found = _organization("promoted", "FI", is_business=False)
    plan = plan_create(
        actor=operator.user, slug="monthly", name="Monthly", mode=Mode.PREPAID, rpm=None, tpm=None,
        rpd=None, streams=None, promo_monthly=Decimal("0.75"),
    )  # fmt: skip
    plan_change(actor=operator.user, organization=found, plan=plan, reason="Signed up")
    operator.pay(found, Decimal("62.75"))
    return found


def lot_give(organization: Organization, expires_at: datetime) -> None:
    promo_grant(
        actor=None, organization=organization, amount=Decimal("0.40"), expires_at=expires_at,
        reason="Welcome",
    )  # fmt: skip


def _organization(
    slug: str, country: str, vat_id: str = "", *, is_business: bool = True
) -> Organization:
    found = services.organization_create(actor=None, name=slug.title(), slug=slug)
    profile_set(
        actor=None, organization=found, legal_name=slug.title(), country=country,
        address="Street 1", postcode="12345", city="Town", vat_id=vat_id,
        is_business=is_business, email=f"invoices@{slug}.test",
    )  # fmt: skip
    return found


def _with_keys(organization: Organization, operator: Operator) -> Buyer:
    project = services.project_create(actor=None, organization=organization, name="One")
    slow_project = services.project_create(actor=None, organization=organization, name="Slow")
    limit_set(
        actor=operator.user, organization=organization, project=slow_project,
        kind=LimitKind.REQUESTS_MINUTE, value=RPM,
    )  # fmt: skip
    return Buyer(organization, _key(project), _key(slow_project))


def _key(project: Project) -> str:
    return services.api_key_create(actor=None, project=project, name="One").secret
