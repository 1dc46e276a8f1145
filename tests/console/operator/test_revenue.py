"""Revenue beside what backends cost."""

from __future__ import annotations

from datetime import UTC
from decimal import Decimal

from django.test import Client
from django.utils import timezone

from billing.models import BackendHour, Terms, UsageDay
from inference.costs import backend_cost_set, today
from inference.models import Backend, Model
from tenants.models import AuditEntry
from tests.conftest import Cast
from tests.console.operator.conftest import Book, text_of

URL = "/operator/revenue/"


def busy(backend: Backend) -> None:
    """All requests of the hour that runs were on this backend."""
    hour = timezone.now().astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    BackendHour.objects.create(
        backend=backend.name, hour=hour, requests=10, input_tokens=1_000, output_tokens=200
    )


def test_without_usage_or_costs_the_page_says_so(operator: Client) -> None:
    page = text_of(operator.get(URL))
    assert "Nothing was used in this month." in page
    assert "No backend was asked in this month" in page


def test_a_backend_whose_cost_nobody_entered_is_named(
    operator: Client, cast: Cast, model: Model, backend: Backend, book: Book
) -> None:
    book(cast.key.api_key, amount="12.50")
    busy(backend)
    page = text_of(operator.get(URL))
    assert "1 backend worked, and nobody said what it costs." in page
    assert "€12.50" in page
    assert "Enter cost" in page
    (line,) = operator.get(URL).context["lines"]
    assert (line.cost, line.margin) == (None, None)


def test_the_margin_is_revenue_less_cost_by_model_organization_and_month(
    operator: Client, cast: Cast, model: Model, backend: Backend, book: Book
) -> None:
    book(cast.key.api_key, amount="12.50")
    book(cast.rival_key.api_key, amount="7.50")
    busy(backend)
    backend_cost_set(actor=None, backend=backend, per_hour=Decimal(2), since=today().replace(day=1))
    margins = operator.get(URL).context["margins"]
    (line,) = margins.by_model
    assert (line.label, line.revenue, line.cost) == ("acme/tiny", 20, 2)
    assert margins.unassigned == margins.cost - 2
    own = {one.label: (one.revenue, one.cost) for one in margins.by_organization}
    assert own == {"Acme": (Decimal("12.5"), 1), "Rival": (Decimal("7.5"), 1)}
    assert "Acme" in text_of(operator.get(f"{URL}?by=organization"))
    months = operator.get(f"{URL}?by=month").context["lines"]
    assert (months[0].revenue, months[1].revenue, len(months)) == (20, 0, 12)
    assert months[0].cost > 2


def test_of_another_currency_there_is_no_margin(
    operator: Client, cast: Cast, model: Model, backend: Backend, book: Book
) -> None:
    book(cast.key.api_key, amount="12.50")
    book(cast.rival_key.api_key, amount="75")
    UsageDay.objects.filter(organization=cast.rival).update(currency="SEK")
    Terms.objects.create(organization=cast.rival, currency="SEK")
    busy(backend)
    backend_cost_set(actor=None, backend=backend, per_hour=Decimal(2), since=today().replace(day=1))
    answer = operator.get(f"{URL}?currency=SEK")
    (line,) = answer.context["margins"].by_model
    assert (line.revenue, line.cost, line.margin) == (75, None, None)
    assert "SEK 75.00" in text_of(answer)
    (line,) = operator.get(URL).context["margins"].by_model
    assert (line.revenue, line.cost) == (Decimal("12.5"), 1)


def test_a_cost_is_entered_on_the_page_of_a_backend(
    operator: Client, cast: Cast, backend: Backend
) -> None:
    page = f"/operator/backends/{backend.name}/"
    assert "Nobody said what an hour of it costs" in text_of(operator.get(page))

    wrong = operator.post(f"{page}cost/", {"per_hour": "-1", "since": "2026-05-01"})
    done = operator.post(f"{page}cost/", {"per_hour": "2.4", "since": "2026-05-01"}, follow=True)

    assert wrong.status_code == 422
    assert "From 1 May 2026</dt><dd>€2.40 per hour" in text_of(done)
    told = AuditEntry.objects.get(action="backend.set_cost")
    assert (told.actor, told.data["per_hour"]) == (cast.oskar, "2.4")
