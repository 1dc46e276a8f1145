"""The organizations of a run: one for each way in which money or rates bound what is used."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Final
from uuid import UUID

from billing.ledger import prepaid_top_up
from billing.models import Budget, Limit, LimitKind, Mode, Terms
from tenants import services
from tenants.models import Organization

RPM: Final = 20
LITTLE: Final = Decimal("0.03")
"""EUR: some twenty short requests, and two at a time of what a hold counts without looking."""
ENOUGH: Final = Decimal(50)


@dataclass(frozen=True)
class Customer:
    """`most` is what it may spend; None without end. The first two are bound by no money."""

    kind: str
    id: UUID
    key: str
    most: Decimal | None = None

    @property
    def is_near_its_end(self) -> bool:
        return self.most == LITTLE

    @property
    def is_free(self) -> bool:
        """Whether it needs no store to be let in."""
        return self.most is None


def customers_make(run: int) -> list[Customer]:
    """New ones, with a key each."""
    return [_with_key(organization, kind, most) for organization, kind, most in _organizations(run)]


def _organizations(run: int) -> Iterator[tuple[Organization, str, Decimal | None]]:
    yield _organization(run, "open"), "open", None
    limited = _organization(run, "limited")
    Limit.objects.create(organization=limited, kind=LimitKind.REQUESTS_MINUTE, value=RPM)
    yield limited, "limited", None
    prepaid = _organization(run, "prepaid")
    Terms.objects.create(organization=prepaid, mode=Mode.PREPAID)
    prepaid_top_up(actor=None, organization=prepaid, amount=LITTLE, reference=prepaid.slug)
    yield prepaid, "prepaid", LITTLE
    credit = _organization(run, "credit")
    Terms.objects.create(organization=credit, mode=Mode.POSTPAID, credit_limit=ENOUGH)
    yield credit, "credit", ENOUGH
    budgeted = _organization(run, "budgeted")
    Budget.objects.create(organization=budgeted, amount=LITTLE, thresholds=[50, 100])
    yield budgeted, "budgeted", LITTLE


def _organization(run: int, kind: str) -> Organization:
    return services.organization_create(
        actor=None, name=f"{kind.title()} {run}", slug=f"{kind}-{run}"
    )


def _with_key(organization: Organization, kind: str, most: Decimal | None) -> Customer:
    project = services.project_create(actor=None, organization=organization, name="One")
    key = services.api_key_create(actor=None, project=project, name="One")
    return Customer(kind, organization.pk, key.secret, most)
