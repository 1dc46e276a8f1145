"""An organization in the browser: how it begins, what stops it, and its projects."""

from __future__ import annotations

import pytest
from django.core.mail import EmailMultiAlternatives
from django.test import Client

from tenants import services
from tenants.models import Organization, Project, ServiceAccount, User
from tests.conftest import Cast
from tests.console.log_in import log_in_freshly
from tests.console.words import words_of

NEW = "/organizations/create/"
SETTINGS = "/o/acme/settings/"
pytestmark = pytest.mark.usefixtures("commits_at_once")


@pytest.fixture
def olivia(cast: Cast) -> Client:
    return log_in_freshly(Client(), cast.olivia)


@pytest.fixture
def nina(cast: Cast) -> Client:
    return log_in_freshly(Client(), User.objects.create_user("nina@new.test", None, name="Nina"))


def test_who_belongs_nowhere_is_shown_how_to_begin(nina: Client) -> None:
    page = nina.get("/")
    assert "nina@new.test belongs to no organization" in page.text
    assert NEW in page.text


def test_a_new_organization_is_ready_at_once(nina: Client) -> None:
    answer = nina.post(NEW, {"name": "Nina & Söner AB"}, follow=True)
    assert answer.redirect_chain == [("/o/nina-soner-ab/", 302)]
    assert "Create a key" in answer.text


def test_a_short_name_that_is_taken_is_answered_with_a_free_one(nina: Client) -> None:
    answer = nina.post(NEW, {"name": "Acme", "slug": "acme"})
    assert answer.status_code == 422
    assert "acme-2 is free" in answer.text
    assert nina.post(NEW, {"name": "Acme"})["Location"] == "/o/acme-2/"


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ({"name": "Nina", "slug": "ni na"}, "Letters, digits and hyphens"),
        ({"name": "日本"}, "no letters to make it from"),
        ({"name": "Nina\u202eAB"}, "without hidden signs"),
        ({"name": " "}, "required"),
        ({"name": "Waiting", "slug": "waiting"}, "waiting-2 is free"),
    ],
)
def test_an_odd_name_is_told_what_is_wrong(nina: Client, typed: dict[str, str], says: str) -> None:
    answer = nina.post(NEW, typed)
    assert answer.status_code == 422
    assert says in answer.text
    assert Organization.objects.count() == 2


def test_where_the_operator_approves_it_waits_and_is_let_in(
    nina: Client, cast: Cast, mailoutbox: list[EmailMultiAlternatives]
) -> None:
    services.organizations_approve_set(actor=cast.oskar, approves=True)
    oskar = log_in_freshly(Client(), cast.oskar)

    page = nina.post(NEW, {"name": "Nina"}, follow=True)

    assert "Nina waits to be let in" in page.text
    assert [(mail.to, mail.subject) for mail in mailoutbox] == [
        (["oskar@sluice.test"], "Nina waits to be let in")
    ]
    waiting = words_of(oskar.get("/operator/organizations/waiting/"))
    assert "1 waits" in waiting
    assert "nina@new.test" in waiting
    oskar.post("/operator/organizations/nina/approve/")
    assert nina.get("/o/nina/").status_code == 200
    assert mailoutbox[-1].to == ["nina@new.test"]
    assert mailoutbox[-1].subject == "Nina is active"


def test_who_is_refused_reads_why(
    nina: Client, cast: Cast, mailoutbox: list[EmailMultiAlternatives]
) -> None:
    oskar = log_in_freshly(Client(), cast.oskar)
    oskar.post("/operator/organizations/waiting/rule/", {"approves": "on"})
    nina.post(NEW, {"name": "Nina"})

    assert oskar.post("/operator/organizations/nina/refuse/", {"reason": ""}).status_code == 422
    oskar.post("/operator/organizations/nina/refuse/", {"reason": "No such company."})

    page = nina.get("/o/nina/keys/", follow=True)
    assert "was not let in" in page.text
    assert "No such company." in page.text
    assert "No such company." in mailoutbox[-1].body
    again = oskar.post("/operator/organizations/nina/approve/")
    assert (again.status_code, "is refused" in again.text) == (422, True)


def test_the_switcher_shows_all_of_ones_organizations(olivia: Client, cast: Cast) -> None:
    services.organization_apply(actor=cast.olivia, name="Olivia’s own", slug="own")
    page = olivia.get("/o/acme/").text
    assert 'href="/o/own/"' in page
    assert f'href="{NEW}"' in page
    assert "/o/rival/" not in page


def test_it_is_renamed(olivia: Client) -> None:
    assert olivia.post(SETTINGS, {"name": "Acme AB"})["Location"] == SETTINGS
    assert "Acme AB" in olivia.get("/o/acme/").text


def test_a_suspended_one_says_so_on_every_page_and_takes_no_changes(
    olivia: Client, cast: Cast, mailoutbox: list[EmailMultiAlternatives]
) -> None:
    oskar = log_in_freshly(Client(), cast.oskar)
    oskar.post("/operator/organizations/acme/suspend/", {"reason": "Unpaid since May."})

    for url in ("/o/acme/", "/o/acme/keys/", "/o/acme/usage/"):
        page = words_of(olivia.get(url))
        assert "Acme is suspended: its requests are refused" in page
        assert "Unpaid since May." in page
    refused = olivia.post("/o/acme/projects/create/", {"name": "More"})
    assert (refused.status_code, "Acme is suspended" in refused.text) == (403, True)
    assert "Unpaid since May." in mailoutbox[-1].body

    oskar.post("/operator/organizations/acme/lift/")
    assert "is suspended" not in olivia.get("/o/acme/").text


def test_deleting_shows_what_goes_and_wants_the_name(olivia: Client, cast: Cast) -> None:
    page = words_of(olivia.get(f"{SETTINGS}delete/"))
    for counted in ("Members 2", "Projects 1", "Active keys 1", "Requests running now 0"):
        assert counted in page
    assert "Credit left €0.00" in page

    wrong = olivia.post(f"{SETTINGS}delete/", {"name": "acme"})
    assert (wrong.status_code, "type “Acme”" in wrong.text) == (422, True)

    olivia.post(f"{SETTINGS}delete/", {"name": "Acme"})
    cast.acme.refresh_from_db()
    assert cast.acme.state == "deleted"
    assert "An owner can restore it until" in words_of(olivia.get("/o/acme/"))

    olivia.post(f"{SETTINGS}restore/")
    cast.acme.refresh_from_db()
    assert cast.acme.is_active


def test_an_owner_does_not_lift_a_suspension_by_restoring(olivia: Client, cast: Cast) -> None:
    services.organization_suspend(actor=cast.oskar, organization=cast.acme, reason="x")
    assert olivia.post(f"{SETTINGS}restore/").status_code == 422
    assert olivia.post(f"{SETTINGS}archive/").status_code == 403
    cast.acme.refresh_from_db()
    assert cast.acme.state == "suspended"


def test_a_project_is_made_renamed_archived_and_restored(olivia: Client, cast: Cast) -> None:
    assert olivia.post("/o/acme/projects/create/", {"name": "Chat"}).status_code == 302
    chat = Project.objects.for_organization(cast.acme).get(name="Chat")
    own = f"/o/acme/projects/{chat.pk}/"
    taken = olivia.post(f"{own}rename/", {"name": "search"})
    assert (taken.status_code, "Another project has this name" in taken.text) == (422, True)
    olivia.post(f"{own}rename/", {"name": "Chat EU"})
    olivia.post(f"{own}archive/")

    assert own not in olivia.get("/o/acme/projects/").text
    assert own in olivia.get("/o/acme/projects/?state=archived").text
    olivia.post(f"{own}restore/")
    assert own in olivia.get("/o/acme/projects/").text
    assert olivia.get("/o/acme/projects/?state=odd").status_code == 404


def test_archiving_a_project_shows_what_stops(olivia: Client, cast: Cast) -> None:
    page = words_of(olivia.get(f"/o/acme/projects/{cast.project.pk}/archive/"))
    assert "Active keys 1" in page
    assert "Service accounts 0" in page


def test_a_service_account_is_added_and_archived(olivia: Client, cast: Cast) -> None:
    own = f"/o/acme/projects/{cast.project.pk}/"
    assert olivia.post(f"{own}service-accounts/add/", {"name": "ci"})["Location"] == own
    made = ServiceAccount.objects.get()
    assert "ci" in words_of(olivia.get(own))

    olivia.post(f"/o/acme/service-accounts/{made.pk}/archive/")

    made.refresh_from_db()
    assert not made.is_active


def test_a_project_of_another_organization_does_not_exist(olivia: Client, cast: Cast) -> None:
    for tail in ("", "rename/", "archive/", "service-accounts/add/"):
        assert olivia.get(f"/o/acme/projects/{cast.rival_project.pk}/{tail}").status_code == 404


def test_a_sheet_for_the_dialog_is_only_its_form(olivia: Client) -> None:
    part = olivia.get("/o/acme/projects/create/", headers={"HX-Request": "true"})
    assert part.text.lstrip().startswith("<form")
    assert "<html" not in part.text
    assert "HX-Request" in part["Vary"]
