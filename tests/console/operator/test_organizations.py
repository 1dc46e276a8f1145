from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import pytest
from django.core.mail import EmailMessage
from django.test import Client

from billing.budgets import budget_set
from billing.limiting import limit_set
from billing.models import LimitKind, Period, Terms
from console.views.operator import paging
from tenants import services
from tenants.models import ApiKey, Organization, User
from tests.conftest import PASSWORD, Cast
from tests.console.operator.conftest import Book, text_of
from tests.console.reasons import reason_given

URL = "/operator/organizations/"
ACME = f"{URL}acme/"


def names(response: Any) -> list[str]:
    return [one.name for one in response.context["page"].rows]


@pytest.mark.parametrize("url", [URL, ACME])
def test_a_customer_finds_no_organizations(customer: Client, url: str) -> None:
    assert customer.get(url).status_code == 404


def test_each_organization_is_listed_with_what_it_has_and_used(
    operator: Client, cast: Cast, book: Book
) -> None:
    book(cast.key.api_key, hours_ago=1, requests=40, amount="2.50")
    book(cast.key.api_key, hours_ago=24 * 29 - 24, requests=2, amount="0.25")
    book(cast.key.api_key, hours_ago=24 * 31, requests=999, amount="99")
    (acme, used), (_rival, unused) = operator.get(URL).context["rows"]
    assert (acme.members, acme.project_count, acme.active_keys) == (2, 1, 1)
    assert (used.requests, used.amount) == (42, Decimal("2.75"))
    assert (unused.requests, unused.amount) == (0, 0)


@pytest.mark.parametrize(
    ("search", "found"),
    [("ACM", ["Acme"]), ("riv", ["Rival"]), ("max@", ["Acme"]), ("nobody", []), ("%", [])],
)
def test_an_organization_is_found_by_name_or_member(
    operator: Client, search: str, found: list[str]
) -> None:
    response = operator.get(URL, {"q": search})
    assert names(response) == found
    assert found or "Show all" in text_of(response)


def test_a_search_is_shown_as_it_was_typed_and_runs_nothing(operator: Client) -> None:
    assert "<script>x" not in text_of(operator.get(URL, {"q": "<script>x"}))


@pytest.mark.parametrize(
    ("sort", "first"), [("name", "Acme"), ("amount", "Rival"), ("requests", "Acme"), ("?", "Acme")]
)
def test_the_list_is_sorted_as_the_address_says(
    operator: Client, cast: Cast, book: Book, sort: str, first: str
) -> None:
    book(cast.key.api_key, requests=100, amount="1")
    book(cast.rival_key.api_key, requests=1, amount="5")
    assert names(operator.get(URL, {"sort": sort}))[0] == first


def test_amounts_are_shown_and_ranked_in_the_currency_of_each(
    operator: Client, cast: Cast, book: Book
) -> None:
    Terms.objects.create(organization=cast.rival, currency="SEK")
    book(cast.rival_key.api_key, amount="70", currency="SEK")
    response = operator.get(URL, {"sort": "amount"})
    assert names(response) == ["Rival", "Acme"], "Acme used nothing"
    assert "SEK\u200970.00" in response.text
    book(cast.key.api_key, amount="2.50")
    assert names(operator.get(URL, {"sort": "amount"})) == ["Acme", "Rival"], "EUR come first"


@pytest.mark.parametrize("sort", ["name", "amount", "requests", "active"])
def test_pages_together_hold_each_organization_once(
    operator: Client, cast: Cast, book: Book, monkeypatch: pytest.MonkeyPatch, sort: str
) -> None:
    monkeypatch.setattr(paging, "SIZE", 3)
    for number in range(8):
        services.organization_create(actor=None, name=f"Org {number % 2}", slug=f"org-{number}")
    book(cast.key.api_key)
    seen: list[str] = []
    after = ""
    for _page in range(10):
        page = operator.get(URL, {"sort": sort, "after": after}).context["page"]
        seen += [one.slug for one in page.rows]
        if not (after := page.after):
            break
    assert sorted(seen) == sorted(Organization.objects.values_list("slug", flat=True))


def test_a_page_mark_that_is_gone_starts_over(operator: Client) -> None:
    assert names(operator.get(URL, {"after": "gone"})) == ["Acme", "Rival"]


def test_the_list_asks_as_much_for_many_as_for_few(
    operator: Client, django_assert_max_num_queries: Any
) -> None:
    for number in range(30):
        services.organization_create(actor=None, name=f"Org {number}", slug=f"org-{number}")
    with django_assert_max_num_queries(5):
        operator.get(URL)


def test_an_organization_shows_its_people_projects_and_keys(
    operator: Client, cast: Cast, book: Book
) -> None:
    book(cast.key.api_key, requests=12, amount="3.25")
    services.api_key_revoke(actor=cast.olivia, api_key=cast.key.api_key)
    page = text_of(operator.get(ACME))
    assert "max@acme.test" in page
    assert "Developer" in page
    assert cast.key.api_key.hint in page
    assert "Revoked" in page
    assert 'href="/operator/organizations/acme/audit/"' in page
    assert '<td class="st">Search</td><td class="n">0</td><td class="n">12</td>' in page
    assert "€3.25" in page


def test_limits_and_budgets_are_told_by_name(operator: Client, cast: Cast) -> None:
    limit_set(
        actor=cast.oskar, organization=cast.acme, kind=LimitKind.TOKENS_MINUTE, value=20_000,
        project=cast.project,
    )  # fmt: skip
    budget_set(
        actor=cast.olivia, organization=cast.acme, api_key=cast.key.api_key, amount=Decimal(25),
        period=Period.DAY,
    )  # fmt: skip
    page = text_of(reason_given(operator, cast.acme).get(f"{ACME}audit/"))
    assert "Search · Tokens per minute · 20 000</span>" in page
    assert "Acme production · 25 · Day</span>" in page


def test_an_organization_shows_nothing_of_another(operator: Client, cast: Cast) -> None:
    page = text_of(operator.get(ACME))
    assert "Secret" not in page
    assert "rita@rival.test" not in page
    assert cast.rival_key.api_key.hint not in page


def test_no_secret_of_a_key_is_on_the_page(operator: Client, cast: Cast) -> None:
    page = text_of(operator.get(ACME))
    assert cast.key.secret not in page
    assert bytes(ApiKey.objects.get(pk=cast.key.api_key.pk).digest).hex() not in page


def test_an_organization_that_does_not_exist_is_404(operator: Client) -> None:
    assert operator.get(f"{URL}nobody/").status_code == 404


def test_a_new_organization_says_what_is_missing(operator: Client) -> None:
    services.organization_create(actor=None, name="New", slug="new")
    page = text_of(operator.get(f"{URL}new/"))
    assert "No keys yet." in page
    assert "No members yet" in page
    assert "No requests in this range." in page


def test_one_organization_asks_little_however_many_keys_it_has(
    operator: Client, cast: Cast, django_assert_max_num_queries: Any
) -> None:
    for number in range(20):
        services.api_key_create(actor=cast.olivia, project=cast.project, name=f"Key {number}")
    with django_assert_max_num_queries(12):
        operator.get(ACME)


@pytest.mark.parametrize("url", [URL, ACME])
def test_reading_pages_are_not_posted_to(operator: Client, url: str) -> None:
    assert operator.post(url).status_code == 405


NEW = {
    "name": "Vinter Bank",
    "slug": "Vinter-Bank",
    "owner_email": "Sara@Vinter.test",
    "owner_name": "Sara Lind",
}


def test_a_new_customer_can_log_in_once_a_password_is_chosen(
    operator: Client, mailoutbox: list[EmailMessage], commits_at_once: None
) -> None:
    answer = operator.post(f"{URL}add/", NEW)
    assert answer.status_code == 302
    owner = User.objects.get(email="sara@vinter.test")
    assert not owner.has_usable_password()
    assert owner.memberships.get().role == "owner"
    assert [p.name for p in Organization.objects.get(slug="vinter-bank").projects.all()] == [
        "Default"
    ]

    Client().post("/account/password/reset/", {"email": "sara@vinter.test"})
    link = re.search(r"/account/password/reset/key/\S+", str(mailoutbox[0].body))
    assert link
    sara = Client()
    form = sara.get(link[0], follow=True)
    chosen = {"password1": PASSWORD, "password2": PASSWORD}
    sara.post(form.redirect_chain[-1][0], chosen)
    sara.post("/account/login/", {"login": "sara@vinter.test", "password": PASSWORD})
    assert sara.get("/", follow=True).redirect_chain[-1][0] == "/o/vinter-bank/"


def test_a_person_who_has_an_account_keeps_it(operator: Client, cast: Cast) -> None:
    operator.post(f"{URL}add/", NEW | {"owner_email": "OLIVIA@acme.test"})
    assert cast.olivia.memberships.count() == 2
    cast.olivia.refresh_from_db()
    assert cast.olivia.name == "Olivia Ek"


@pytest.mark.parametrize(
    ("field", "typed", "said"),
    [
        ("slug", "acme", "exists already"),
        ("slug", "two words", "valid “slug”"),
        ("slug", "waiting", "exists already"),
        ("owner_email", "sara", "name@example.com"),
        ("owner_email", "s\u0430ra@vinter.test", "other alphabets"),
        ("owner_email", "oskar@sluice.test", "operators own no organization"),
        ("name", "", "required"),
    ],
)
def test_a_bad_new_organization_is_explained(
    operator: Client, cast: Cast, field: str, typed: str, said: str
) -> None:
    answer = operator.post(f"{URL}add/", NEW | {field: typed})
    assert answer.status_code == 422
    assert said in answer.content.decode()
    assert "Sara Lind" in answer.content.decode()
    assert Organization.objects.count() == 2
