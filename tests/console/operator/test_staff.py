"""The operator's staff in the browser, and seeing a customer's pages as a member does."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.mail import EmailMultiAlternatives
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from tenants import services
from tenants.models import AuditEntry, Impersonation, Membership, StaffRole, User
from tests.conftest import Cast
from tests.console.log_in import log_in_freshly, looking_in
from tests.console.words import words_of

STAFF = "/operator/staff/"
pytestmark = pytest.mark.usefixtures("commits_at_once")


@pytest.fixture
def oskar(cast: Cast) -> Client:
    return log_in_freshly(Client(), cast.oskar)


@pytest.fixture
def of_max(cast: Cast) -> Membership:
    return Membership.objects.for_organization(cast.acme).get(user=cast.max)


def sara(cast: Cast, role: StaffRole) -> Client:
    user = services.staff_add(actor=cast.oskar, email="sara@sluice.test", name="Sara", role=role)
    return log_in_freshly(Client(), user)


def test_an_operator_is_added_by_mail(
    oskar: Client, mailoutbox: list[EmailMultiAlternatives]
) -> None:
    typed = {"email": "Sara@sluice.test", "name": "Sara Ny", "role": "finance"}
    assert oskar.post(f"{STAFF}add/", typed)["Location"] == STAFF
    assert "Sara Ny sara@sluice.test Role… Remove… Finance" in words_of(oskar.get(STAFF))
    assert mailoutbox[0].to == ["sara@sluice.test"]
    assert "Your role is finance" in mailoutbox[0].body


def test_a_role_is_changed_and_the_last_administrator_is_kept(oskar: Client, cast: Cast) -> None:
    answer = oskar.post(f"{STAFF}{cast.oskar.pk}/role/", {"role": "support"})
    assert (answer.status_code, "only administrator" in answer.text) == (422, True)
    assert oskar.post(f"{STAFF}{cast.oskar.pk}/remove/").status_code == 422

    sara(cast, StaffRole.SUPPORT)
    of_sara = User.objects.get(email="sara@sluice.test")
    oskar.post(f"{STAFF}{of_sara.pk}/role/", {"role": "administrator"})
    of_sara.refresh_from_db()
    assert of_sara.staff_role == "administrator"


def test_who_is_removed_is_logged_out_at_once(oskar: Client, cast: Cast) -> None:
    client = sara(cast, StaffRole.SUPPORT)
    assert client.get("/operator/").status_code == 200

    oskar.post(f"{STAFF}{User.objects.get(email='sara@sluice.test').pk}/remove/")

    assert client.get("/operator/")["Location"].startswith(reverse("account_login"))


def test_a_role_that_may_not_is_told_who_may(cast: Cast) -> None:
    answer = sara(cast, StaffRole.SUPPORT).get("/operator/backends/add/")
    page = words_of(answer)
    assert answer.status_code == 403
    assert "Your role in Sluice is support. This needs one of: administrator." in page
    assert "Your role can be changed by: Oskar Lund." in page


def test_support_sees_what_the_member_sees_with_both_names_above(
    cast: Cast, of_max: Membership
) -> None:
    client = looking_in(sara(cast, StaffRole.SUPPORT), of_max)

    for url in ("/o/acme/", "/o/acme/usage/", "/operator/"):
        page = words_of(client.get(url))
        assert "Sara sees Acme as Max Berg does, for reading" in page, url
    assert client.get("/o/rival/").status_code == 404


def test_who_looks_in_changes_nothing_and_sees_no_secret(cast: Cast, of_max: Membership) -> None:
    client = looking_in(sara(cast, StaffRole.SUPPORT), of_max)

    refused = client.post("/o/acme/keys/create/", {"name": "x", "project": cast.project.pk})
    assert (refused.status_code, "for reading" in refused.text) == (403, True)
    secret = client.get("/o/acme/keys/create/")
    assert (secret.status_code, "for the members alone" in secret.text) == (403, True)
    for method in ("put", "patch", "delete"):
        assert getattr(client, method)("/o/acme/").status_code == 403
    assert client.post("/theme/").status_code == 302


def test_the_customer_sees_who_looked_in_and_why(
    cast: Cast, oskar: Client, of_max: Membership
) -> None:
    looking_in(oskar, of_max)

    page = words_of(log_in_freshly(Client(), cast.olivia).get("/o/acme/members/"))

    assert "Operators who looked in" in page
    assert "Oskar Lund Max Berg ticket 7" in page
    trail = words_of(log_in_freshly(Client(), cast.olivia).get("/o/acme/audit/"))
    assert "Operator began to see as a member" in trail


def test_the_trail_tells_each_page_that_was_looked_at(
    cast: Cast, oskar: Client, of_max: Membership
) -> None:
    looking_in(oskar, of_max)

    for url in ("/o/acme/keys/", "/o/acme/keys/", "/o/acme/usage/", "/o/acme/keys/create/"):
        oskar.get(url)

    seen = AuditEntry.objects.filter(action="impersonation.see", organization=cast.acme)
    told = [(entry.actor, entry.on_behalf_of, entry.data["path"]) for entry in seen.order_by("seq")]
    assert told == [
        (cast.oskar, cast.max, "/o/acme/keys/"), (cast.oskar, cast.max, "/o/acme/usage/")
    ]  # fmt: skip


def test_looking_in_is_ended_with_a_button(cast: Cast, oskar: Client, of_max: Membership) -> None:
    looking_in(oskar, of_max)

    assert oskar.post("/operator/see/end/")["Location"] == "/operator/organizations/acme/"

    assert oskar.get("/o/acme/").status_code == 404
    assert AuditEntry.objects.filter(action="impersonation.end").count() == 2


def test_looking_in_ends_after_30_minutes(cast: Cast, oskar: Client, of_max: Membership) -> None:
    looking_in(oskar, of_max)
    started = Impersonation.objects.get()
    assert started.expires_at - started.started_at == timedelta(minutes=30)
    Impersonation.objects.update(expires_at=timezone.now())

    gone = oskar.get("/o/acme/")
    assert (gone.status_code, "the 30 minutes are over" in gone.text) == (404, True)
    assert AuditEntry.objects.filter(action="impersonation.end").count() == 2


def test_looking_in_ends_when_the_member_leaves_or_the_operator_may_no_more(
    cast: Cast, oskar: Client, of_max: Membership
) -> None:
    support = looking_in(sara(cast, StaffRole.SUPPORT), of_max)
    User.objects.filter(email="sara@sluice.test").update(staff_role="finance")
    assert support.get("/o/acme/").status_code == 404

    looking_in(oskar, of_max)
    of_max.delete()
    assert oskar.get("/o/acme/").status_code == 404
    assert not Impersonation.objects.filter(ended_at=None).exists()


def test_what_is_recorded_meanwhile_names_both(
    cast: Cast, oskar: Client, of_max: Membership
) -> None:
    looking_in(oskar, of_max)
    oskar.get("/o/acme/usage.csv")

    entry = AuditEntry.objects.for_organization(cast.acme).latest("pk")
    assert (entry.actor, entry.on_behalf_of) == (cast.oskar, cast.max)


def test_a_reason_is_wanted_and_a_fresh_log_in(cast: Cast, of_max: Membership) -> None:
    url = f"/operator/organizations/acme/members/{of_max.pk}/see/"
    late = log_in_freshly(Client(), cast.oskar, age_s=600)
    assert "/reauthenticate/" in late.post(url, {"reason": "x"})["Location"]
    fresh = log_in_freshly(Client(), cast.oskar)
    assert fresh.post(url, {"reason": ""}).status_code == 422
    assert not Impersonation.objects.exists()


def test_finance_does_not_look_in(cast: Cast, of_max: Membership) -> None:
    finance = sara(cast, StaffRole.FINANCE)
    url = f"/operator/organizations/acme/members/{of_max.pk}/see/"
    assert finance.post(url, {"reason": "x"}).status_code == 403
    assert "See pages…" not in finance.get("/operator/organizations/acme/", follow=True).text
