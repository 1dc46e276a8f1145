"""Invitations: who can accept which, once, and that a refusal leaves all as it was."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from tenants import services
from tenants.emails import email_clean
from tenants.invitations import Link, token_mint, token_read
from tenants.models import AuditEntry, Invitation, Membership, Organization, Role, User, new_id
from tenants.services import InvitationRefused, Problem
from tests.conftest import Cast

NINA = "nina@acme.test"


@pytest.fixture
def nina(cast: Cast) -> User:
    return User.objects.create_user(NINA, None, name="Nina Alm")


@pytest.fixture
def invitation(cast: Cast) -> Invitation:
    return services.invitation_create(
        actor=cast.olivia, organization=cast.acme, email=NINA, role=Role.BILLING
    )


def link(invitation: Invitation) -> Link:
    return Link(invitation.pk, invitation.serial)


def refused(user: User, of: Link, verified: str = NINA) -> Problem:
    """Why `user` cannot accept; it must have changed nothing."""
    before = (Membership.objects.count(), AuditEntry.objects.count())
    with pytest.raises(InvitationRefused) as raised:
        services.invitation_accept(actor=user, link=of, verified=[verified])
    assert (Membership.objects.count(), AuditEntry.objects.count()) == before
    return raised.value.problem


def test_whoever_is_invited_becomes_a_member(invitation: Invitation, nina: User) -> None:
    member = services.invitation_accept(actor=nina, link=link(invitation), verified=[NINA])

    assert (member.user, member.role) == (nina, Role.BILLING)
    actions = set(AuditEntry.objects.values_list("action", flat=True))
    assert {"invitation.create", "invitation.accept", "member.add"} <= actions


def test_a_link_works_once(invitation: Invitation, nina: User) -> None:
    services.invitation_accept(actor=nina, link=link(invitation), verified=[NINA])
    assert refused(nina, link(invitation)) == Problem.USED


def test_a_link_works_for_seven_days(invitation: Invitation, nina: User) -> None:
    left = invitation.expires_at - timezone.now()
    assert timedelta(days=6, hours=23) < left <= timedelta(days=7)

    Invitation.objects.update(expires_at=timezone.now())
    assert refused(nina, link(invitation)) == Problem.EXPIRED


def test_a_revoked_invitation_is_over(cast: Cast, invitation: Invitation, nina: User) -> None:
    services.invitation_revoke(actor=cast.olivia, invitation=invitation)

    assert refused(nina, link(invitation)) == Problem.REVOKED
    with pytest.raises(ValidationError, match="meanwhile"):
        services.invitation_send_again(actor=cast.olivia, invitation=invitation)


def test_of_several_mails_the_newest_works(cast: Cast, invitation: Invitation, nina: User) -> None:
    Invitation.objects.update(expires_at=timezone.now())
    again = services.invitation_send_again(actor=cast.olivia, invitation=invitation)

    assert refused(nina, link(invitation)) == Problem.OUTDATED
    assert services.invitation_accept(actor=nina, link=link(again), verified=[NINA]).user == nina


def test_it_is_for_the_invited_address_alone(
    cast: Cast, invitation: Invitation, nina: User
) -> None:
    assert refused(cast.rita, link(invitation), cast.rita.email) == Problem.OTHER_PERSON
    assert refused(nina, link(invitation), "other@acme.test") == Problem.UNVERIFIED
    assert refused(nina, Link(new_id(), 1)) == Problem.UNKNOWN


def test_no_operator_joins(cast: Cast, invitation: Invitation, nina: User) -> None:
    User.objects.filter(pk=nina.pk).update(is_staff=True, staff_role="support")
    nina.refresh_from_db()

    assert refused(nina, link(invitation)) == Problem.OPERATOR
    with pytest.raises(ValidationError, match="operator"):
        services.invitation_create(
            actor=cast.olivia,
            organization=cast.acme,
            email=cast.oskar.email,
            role=Role.ADMIN,
        )


def test_nobody_joins_what_is_stopped(cast: Cast, invitation: Invitation, nina: User) -> None:
    Organization.objects.filter(pk=cast.acme.pk).update(state="suspended")
    cast.acme.refresh_from_db()

    assert refused(nina, link(invitation)) == Problem.CLOSED


def test_nobody_is_invited_twice(cast: Cast, invitation: Invitation) -> None:
    for email, why in ((NINA.upper(), "invited already"), ("max@acme.test", "member already")):
        with pytest.raises(ValidationError, match=why):
            services.invitation_create(
                actor=cast.olivia, organization=cast.acme, email=email, role=Role.ADMIN
            )
    services.invitation_revoke(actor=cast.olivia, invitation=invitation)
    again = services.invitation_create(
        actor=cast.olivia, organization=cast.acme, email=NINA, role=Role.ADMIN
    )
    assert again != invitation


@pytest.mark.parametrize(
    "address",
    [
        "olіvia@acme.test",  # a Cyrillic і
        "olivia@аcme.test",  # a Cyrillic а
        "olivia@xn--cme-5cd.test",
        "olivia@mail.xn--cme-5cd.test",
        "=cmd@acme.test",
        "+46@acme.test",
        "olivia\u200b@acme.test",
        "olivia @acme.test",
        '"olivia"@acme.test',
        "olivia@acme",
        "olivia@acme.test\nbcc:all@acme.test",
        "olivia@@acme.test",
        "@acme.test",
        "",
        "a" * 65 + "@acme.test",
        "o@" + "a." * 130 + "test",
    ],
)
def test_an_odd_address_is_refused(address: str) -> None:
    with pytest.raises(ValidationError):
        email_clean(address)


@pytest.mark.parametrize("address", ["olivia@acme.test", "o.ek+x_1@mail-1.acme.co.test"])
def test_a_plain_address_is_taken_in_small_letters(address: str) -> None:
    assert email_clean(f"  {address.upper()} ") == address


@given(serial=st.integers(1, 32767))
def test_a_token_says_what_was_put_into_it(serial: int) -> None:
    id_ = new_id()
    assert token_read(token_mint(id_, serial)) == Link(id_, serial)


@given(at=st.integers(0, 200), char=st.sampled_from("aZ0-_:=."))
def test_a_token_that_was_touched_is_none(at: int, char: str) -> None:
    token = token_mint(new_id(), 1)
    at %= len(token)
    touched = token[:at] + char + token[at + 1 :]
    assert touched == token or token_read(touched) is None


@pytest.mark.parametrize("token", ["", "x", "a:b:c", "\0", "ö", "a" * 10_000])
def test_what_is_no_token_is_none(token: str) -> None:
    assert token_read(token) is None
