"""Members in the browser: roles, removal, invitations by mail, and who accepts them."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.core.mail import EmailMultiAlternatives
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from tenants.models import Invitation, Membership, Organization, Role, User
from tests.conftest import Cast
from tests.console.log_in import log_in_freshly
from tests.console.words import words_of

URL = "/o/acme/members/"
NINA = "nina@acme.test"
pytestmark = pytest.mark.usefixtures("commits_at_once")


@pytest.fixture
def olivia(cast: Cast) -> Client:
    return log_in_freshly(Client(), cast.olivia)


@pytest.fixture
def nina(cast: Cast) -> User:
    return person(NINA)


def person(email: str, *, verified: bool = True) -> User:
    user = User.objects.create_user(email, None, name="Nina Alm")
    EmailAddress.objects.create(user=user, email=email, verified=verified, primary=True)
    return user


def invite(olivia: Client, email: str = NINA, role: str = "billing") -> Any:
    return olivia.post(f"{URL}invite/", {"email": email, "role": role})


def link_in(mail: EmailMultiAlternatives) -> str:
    found = re.search(r"http://\S+?(/invitations/\S+)", str(mail.body))
    assert found
    return found[1]


def member(cast: Cast, user: User) -> Membership:
    return Membership.objects.for_organization(cast.acme).get(user=user)


def test_the_page_lists_members_with_their_roles(olivia: Client) -> None:
    page = words_of(olivia.get(URL))
    assert "Olivia Ek you olivia@acme.test Role… Owner" in page
    assert "Max Berg max@acme.test Role… Remove… Developer" in page


def test_who_may_not_manage_sees_no_buttons(cast: Cast) -> None:
    page = log_in_freshly(Client(), cast.max).get(URL).text
    assert "Max Berg" in page
    assert "invite/" not in page
    assert "/role/" not in page


def test_a_role_is_changed(olivia: Client, cast: Cast) -> None:
    mine = member(cast, cast.max)
    assert olivia.post(f"{URL}{mine.pk}/role/", {"role": "auditor"})["Location"] == URL
    assert member(cast, cast.max).role == Role.AUDITOR


def test_an_admin_cannot_choose_owner(cast: Cast) -> None:
    Membership.objects.filter(user=cast.max).update(role=Role.ADMIN)
    max_ = log_in_freshly(Client(), cast.max)
    answer = invite(max_, role="owner")
    assert answer.status_code == 422
    assert not Invitation.objects.exists()


def test_the_last_owner_is_told_why_not(olivia: Client) -> None:
    answer = olivia.post(f"{URL}leave/")
    assert answer.status_code == 422
    assert "Make somebody else an owner first" in answer.text


def test_to_a_removed_member_the_organization_is_gone_at_once(olivia: Client, cast: Cast) -> None:
    max_ = log_in_freshly(Client(), cast.max)
    assert max_.get("/o/acme/").status_code == 200

    olivia.post(f"{URL}{member(cast, cast.max).pk}/remove/")

    assert max_.get("/o/acme/").status_code == 404
    assert "belongs to no organization" in max_.get("/", follow=True).text


def test_a_member_leaves(cast: Cast) -> None:
    max_ = log_in_freshly(Client(), cast.max)
    assert "Their keys that end" in max_.get(f"{URL}leave/").text
    assert max_.post(f"{URL}leave/")["Location"] == "/"
    assert max_.get("/o/acme/").status_code == 404


def test_a_late_log_in_is_asked_for_again_before_members_change(cast: Cast) -> None:
    olivia = log_in_freshly(Client(), cast.olivia, age_s=600)
    assert "/reauthenticate/" in olivia.get(f"{URL}invite/")["Location"]
    assert "/reauthenticate/" in invite(olivia)["Location"]
    assert not Invitation.objects.exists()


def test_an_invitation_goes_by_mail_and_is_accepted(
    olivia: Client, cast: Cast, nina: User, mailoutbox: list[EmailMultiAlternatives]
) -> None:
    assert invite(olivia)["Location"] == URL
    [mail] = mailoutbox
    assert (mail.to, mail.subject) == ([NINA], "You are invited to Acme")
    assert "Olivia Ek invites you to Acme" in mail.body

    client = log_in_freshly(Client(), nina)
    assert "Acme" in client.get(link_in(mail)).text
    assert client.post(link_in(mail))["Location"] == "/o/acme/"

    assert member(cast, nina).role == Role.BILLING
    assert "Nobody is invited now" in olivia.get(URL).text


def test_the_page_of_a_link_asks_a_stranger_to_log_in_or_sign_up(
    olivia: Client, mailoutbox: list[EmailMultiAlternatives]
) -> None:
    invite(olivia)
    link = link_in(mailoutbox[0])
    visitor = Client()

    page = visitor.get(link)

    assert page["Cache-Control"] == "max-age=0, no-cache, no-store, must-revalidate, private"
    for way_in in ("account_login", "account_signup"):
        assert f'href="{reverse(way_in)}?next={link.replace(":", "%3A")}"' in page.text
    assert visitor.session["account_verified_email"] == NINA
    assert visitor.post(link).status_code == 200
    assert not Invitation.objects.exclude(accepted_at=None).exists()


def test_a_link_that_was_used_says_so(
    olivia: Client, nina: User, mailoutbox: list[EmailMultiAlternatives]
) -> None:
    invite(olivia)
    link = link_in(mailoutbox[0])
    client = log_in_freshly(Client(), nina)
    client.post(link)

    again = client.post(link)

    assert again.status_code == 410
    assert "This invitation was accepted" in again.text
    assert Client().get(link).status_code == 410


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"expires_at": timezone.now() - timedelta(seconds=1)}, "has expired"),
        ({"revoked_at": timezone.now()}, "was revoked"),
        ({"serial": 2}, "newer mail"),
    ],
)
def test_a_link_that_is_over_says_why_and_does_nothing(
    olivia: Client,
    nina: User,
    mailoutbox: list[EmailMultiAlternatives],
    change: dict[str, object],
    says: str,
) -> None:
    invite(olivia)
    Invitation.objects.update(**change)
    client = log_in_freshly(Client(), nina)

    for answer in (client.get(link_in(mailoutbox[0])), client.post(link_in(mailoutbox[0]))):
        assert answer.status_code == 410
        assert says in answer.text
    assert not nina.memberships.exists()


def test_a_link_is_worth_nothing_to_somebody_else(
    olivia: Client, cast: Cast, mailoutbox: list[EmailMultiAlternatives]
) -> None:
    invite(olivia)
    rita = log_in_freshly(Client(), cast.rita)

    answer = rita.post(link_in(mailoutbox[0]))

    assert answer.status_code == 403
    assert "for somebody else" in answer.text
    assert not cast.acme.memberships.filter(user=cast.rita).exists()


def test_an_address_that_is_not_confirmed_cannot_accept(
    olivia: Client, mailoutbox: list[EmailMultiAlternatives]
) -> None:
    invite(olivia)
    client = log_in_freshly(Client(), person(NINA, verified=False))

    answer = client.post(link_in(mailoutbox[0]))

    assert answer.status_code == 403
    assert "Confirm your e-mail address first" in answer.text


@pytest.mark.parametrize("token", ["x", "a:b:c", "%00"])
def test_a_link_that_is_not_ours_is_unknown(client: Client, db: None, token: str) -> None:
    assert client.get(f"/invitations/{token}/").status_code == 404


def test_sent_again_only_the_newest_link_works(
    olivia: Client, nina: User, mailoutbox: list[EmailMultiAlternatives]
) -> None:
    invite(olivia)
    one = Invitation.objects.get()

    olivia.post(f"/o/acme/invitations/{one.pk}/send-again/")

    first, second = map(link_in, mailoutbox)
    client = log_in_freshly(Client(), nina)
    assert client.post(first).status_code == 410
    assert client.post(second).status_code == 302


def test_an_invitation_is_revoked_with_a_button(olivia: Client) -> None:
    invite(olivia)
    one = Invitation.objects.get()

    page = olivia.post(f"/o/acme/invitations/{one.pk}/revoke/", follow=True)

    assert "The invitation is revoked" in page.text
    again = olivia.post(f"/o/acme/invitations/{one.pk}/revoke/", follow=True)
    assert "accepted or revoked meanwhile" in again.text


def test_an_invitation_of_another_organization_does_not_exist(olivia: Client, cast: Cast) -> None:
    invite(olivia)
    one = Invitation.objects.get()
    rita = log_in_freshly(Client(), cast.rita)
    assert rita.post(f"/o/rival/invitations/{one.pk}/revoke/").status_code == 404
    assert rita.post(f"/o/rival/members/{member(cast, cast.max).pk}/remove/").status_code == 404


def test_an_odd_address_is_told_what_is_wrong(olivia: Client) -> None:
    answer = invite(olivia, "olіvia@acme.test")
    assert answer.status_code == 422
    assert "Letters of other alphabets" in answer.text


def test_an_organization_changes_hands(
    olivia: Client, cast: Cast, mailoutbox: list[EmailMultiAlternatives]
) -> None:
    of_max = member(cast, cast.max)
    assert olivia.post(f"{URL}hand-over/", {"member": of_max.pk})["Location"] == URL
    assert [mail.to for mail in mailoutbox] == [["max@acme.test"]]
    max_ = log_in_freshly(Client(), cast.max)
    assert "offers Max Berg to own the organization" in words_of(max_.get(URL))
    assert "Accept…" in max_.get(URL).text
    assert "Accept…" not in olivia.get(URL).text

    assert max_.post(f"{URL}hand-over/answer/")["Location"] == URL

    assert member(cast, cast.max).role == Role.OWNER
    assert member(cast, cast.olivia).role == Role.ADMIN


def test_an_offer_is_declined(olivia: Client, cast: Cast) -> None:
    olivia.post(f"{URL}hand-over/", {"member": member(cast, cast.max).pk})

    log_in_freshly(Client(), cast.max).post(f"{URL}hand-over/answer/?no")

    assert member(cast, cast.max).role == Role.DEVELOPER
    assert not hasattr(Organization.objects.get(slug="acme"), "ownership_offer")
