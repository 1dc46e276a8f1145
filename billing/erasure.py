"""What is left of an organization whose time to be restored is over: money, and no people."""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from billing.budgets import budget_remove
from billing.models import Budget
from billing.payments import bodies_empty_of
from tenants.models import Organization
from tenants.services import organization_erase


def organizations_erase() -> int:
    """Erase each that is due, and how many they were.

    One that cannot be erased keeps no other one back: ExceptionGroup names them at the end.
    """
    due, failed = list(Organization.objects.erasable(timezone.now())), list[Exception]()
    for organization in due:
        try:
            _erase(organization)
        except Exception as error:
            error.add_note(f"organization {organization.pk}")
            failed.append(error)
    if failed:
        raise ExceptionGroup("Not all organizations that are due could be erased.", failed)
    return len(due)


@transaction.atomic
def _erase(organization: Organization) -> None:
    """Its budgets go with its people: they name whom to mail. So does what Stripe told of them."""
    for budget in Budget.objects.for_organization(organization):
        budget_remove(actor=None, budget=budget)
    bodies_empty_of(organization, timezone.now())
    organization_erase(organization=organization)
