"""How organizations begin, stop and end, and what is left of them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from billing.erasure import organizations_erase
from billing.ledger import prepaid_top_up, wallet_read
from tenants import audit, services
from tenants.audit.personal import subject_of
from tenants.models import (
    ApiKey,
    AuditEntry,
    Impersonation,
    Invitation,
    Membership,
    Organization,
    OrganizationState,
    PersonKey,
    PlatformPolicy,
    Project,
    Role,
    ServiceAccount,
    User,
)
from tests.conftest import Cast

type Act = Callable[[User, Organization], object]

ACTS: dict[str, Act] = {
    "approve": lambda actor, one: services.organization_approve(actor=actor, organization=one),
    "refuse": lambda actor, one: services.organization_refuse(
        actor=actor, organization=one, reason="no"
    ),
    "suspend": lambda actor, one: services.organization_suspend(
        actor=actor, organization=one, reason="unpaid"
    ),
    "lift": lambda actor, one: services.organization_lift(actor=actor, organization=one),
    "archive": lambda actor, one: services.organization_archive(actor=actor, organization=one),
    "delete": lambda actor, one: services.organization_delete(actor=actor, organization=one),
    "restore": lambda actor, one: services.organization_restore(actor=actor, organization=one),
    "erase": lambda _actor, one: services.organization_erase(organization=one),
}
LEADS_TO = {
    "waiting": {"approve": "active", "refuse": "refused"},
    "refused": {},
    "active": {"suspend": "suspended", "archive": "archived", "delete": "deleted"},
    "suspended": {"lift": "active", "delete": "deleted"},
    "archived": {"restore": "active", "delete": "deleted"},
    "deleted": {"restore": "active", "erase": "erased"},
    "erased": {},
}


@pytest.mark.parametrize("state", OrganizationState.values)
def test_from_each_state_only_these_acts_lead_on(cast: Cast, state: str) -> None:
    for name, act in ACTS.items():
        Organization.objects.filter(pk=cast.acme.pk).update(state=state, state_before="")
        if to := LEADS_TO[state].get(name):
            act(cast.oskar, cast.acme)
            cast.acme.refresh_from_db()
            assert cast.acme.state == to, name
        else:
            with pytest.raises(ValidationError, match="cannot be done"):
                act(cast.oskar, cast.acme)


def test_a_person_opens_an_organization_and_owns_it(cast: Cast) -> None:
    made = services.organization_apply(actor=cast.max, name="Max AB", slug="max-ab")

    assert made.is_active
    assert Membership.objects.for_organization(made).get().role == Role.OWNER
    assert Project.objects.for_organization(made).count() == 1


def test_where_the_operator_approves_it_waits(cast: Cast) -> None:
    services.organizations_approve_set(actor=cast.oskar, approves=True)

    made = services.organization_apply(actor=cast.max, name="Max AB", slug="max-ab")

    assert list(Organization.objects.waiting()) == [made]
    with pytest.raises(ValidationError, match="waits for approval already"):
        services.organization_apply(actor=cast.max, name="Another", slug="another")
    services.organizations_approve_set(actor=cast.oskar, approves=False)
    assert not PlatformPolicy.read().approves_organizations
    assert AuditEntry.objects.filter(action="platform.set_approval").count() == 2


def test_operators_own_no_organization(cast: Cast) -> None:
    with pytest.raises(ValidationError, match="Operators"):
        services.organization_apply(actor=cast.oskar, name="Mine", slug="mine")


def test_a_suspended_one_that_was_deleted_comes_back_suspended(cast: Cast) -> None:
    ACTS["suspend"](cast.oskar, cast.acme)
    ACTS["delete"](cast.oskar, cast.acme)

    back = services.organization_restore(actor=cast.olivia, organization=cast.acme)

    assert (back.state, back.state_reason) == ("suspended", "unpaid")
    assert back.erase_at is None


def test_the_reason_of_a_suspension_is_on_record(cast: Cast) -> None:
    ACTS["suspend"](cast.oskar, cast.acme)

    entry = AuditEntry.objects.for_organization(cast.acme).get(action="organization.suspend")
    assert entry.reason == "unpaid"
    assert entry.actor == cast.oskar


def test_after_the_grace_its_people_go_and_its_money_stays(cast: Cast) -> None:
    prepaid_top_up(
        actor=cast.oskar, organization=cast.acme, amount=Decimal(10), reference="invoice 1"
    )
    services.invitation_create(
        actor=cast.olivia, organization=cast.acme, email="new@acme.test", role=Role.ADMIN
    )
    services.service_account_create(actor=cast.olivia, project=cast.project, name="ci")
    deleted = services.organization_delete(actor=cast.olivia, organization=cast.acme)
    left = deleted.erase_at - timezone.now() if deleted.erase_at else timedelta(0)
    assert timedelta(days=29, hours=23) < left <= timedelta(days=30)

    assert organizations_erase() == 0
    assert Membership.objects.for_organization(cast.acme).count() == 2

    Organization.objects.update(erase_at=timezone.now())
    assert organizations_erase() == 1

    cast.acme.refresh_from_db()
    assert cast.acme.state == "erased"
    assert cast.acme.name == "Acme"
    for personal in (Membership, Invitation):
        assert not personal.objects.for_organization(cast.acme).exists()
    assert not ApiKey.objects.for_organization(cast.acme).active().exists()
    assert not ApiKey.objects.for_organization(cast.acme).exclude(created_by=None).exists()
    assert not ServiceAccount.objects.for_organization(cast.acme).active().exists()
    assert wallet_read([cast.acme.pk])[cast.acme.pk].prepaid == Decimal(10)
    assert ApiKey.objects.for_organization(cast.rival).active().exists()


def test_one_that_cannot_be_erased_keeps_no_other_back(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    for owner, organization in ((cast.olivia, cast.acme), (cast.rita, cast.rival)):
        services.organization_delete(actor=owner, organization=organization)
    Organization.objects.update(erase_at=timezone.now())
    erase = services.organization_erase

    def fail(*, organization: Organization) -> Organization:
        if organization == cast.acme:
            raise RuntimeError("its disk is gone")
        return erase(organization=organization)

    monkeypatch.setattr("billing.erasure.organization_erase", fail)
    with pytest.raises(ExceptionGroup) as failed:
        organizations_erase()

    assert [str(cast.acme.pk) in error.__notes__[0] for error in failed.value.exceptions] == [True]
    states = dict(Organization.objects.values_list("slug", "state"))
    assert states == {"acme": "deleted", "rival": "erased"}


def test_a_project_is_archived_with_its_keys_and_comes_back(cast: Cast) -> None:
    services.project_archive(actor=cast.olivia, project=cast.project)
    assert not ApiKey.objects.for_organization(cast.acme).working().exists()

    services.project_restore(actor=cast.olivia, project=cast.project)
    assert ApiKey.objects.for_organization(cast.acme).working().exists()


def test_a_project_keeps_its_name_while_archived(cast: Cast) -> None:
    services.project_archive(actor=cast.olivia, project=cast.project)

    with pytest.raises(ValidationError, match="archived project has this name"):
        services.project_create(actor=cast.olivia, organization=cast.acme, name="SEARCH")
    services.project_rename(actor=cast.olivia, project=cast.project, name="Old search")
    made = services.project_create(actor=cast.olivia, organization=cast.acme, name="Search")
    assert made != cast.project


def test_a_service_account_is_of_an_active_project_and_named_once(cast: Cast) -> None:
    made = services.service_account_create(actor=cast.olivia, project=cast.project, name="ci")
    with pytest.raises(ValidationError, match="of this name"):
        services.service_account_create(actor=cast.olivia, project=cast.project, name="CI")

    services.service_account_archive(actor=cast.olivia, service_account=made)
    assert not ServiceAccount.objects.for_organization(cast.acme).active().exists()

    services.project_archive(actor=cast.olivia, project=cast.project)
    with pytest.raises(ValidationError, match="archived"):
        services.service_account_create(actor=cast.olivia, project=cast.project, name="other")


def test_an_organization_is_renamed(cast: Cast) -> None:
    services.organization_rename(actor=cast.olivia, organization=cast.acme, name="Acme AB")
    services.organization_rename(actor=cast.olivia, organization=cast.acme, name="Acme AB")

    cast.acme.refresh_from_db()
    assert (cast.acme.name, cast.acme.slug) == ("Acme AB", "acme")
    assert AuditEntry.objects.filter(action="organization.rename").count() == 1


def test_looking_in_ends_by_itself(cast: Cast) -> None:
    member = Membership.objects.for_organization(cast.acme).get(user=cast.max)
    services.impersonation_start(actor=cast.oskar, membership=member, reason="ticket 7")
    Impersonation.objects.update(expires_at=timezone.now())

    assert services.impersonations_lapse() == 1
    assert services.impersonations_lapse() == 0

    ended = AuditEntry.objects.for_organization(cast.acme).get(action="impersonation.end")
    assert ended.actor is None


def test_of_people_who_belong_nowhere_else_the_trail_forgets_who_they_were(cast: Cast) -> None:
    services.member_add(
        actor=cast.oskar, organization=cast.rival, user=cast.max, role=Role.DEVELOPER
    )
    for person in (cast.olivia, cast.max):
        with transaction.atomic():
            audit.record_of_person(actor=person, action="session.start", person=person, ip="::1")
    with transaction.atomic():
        audit.record(actor=cast.olivia, action="x.y", target=None, about="nina@acme.test",
                     email="nina@acme.test")  # fmt: skip
    Invitation.objects.create(
        organization=cast.acme, email="nina@acme.test", role=Role.DEVELOPER,
        invited_by=cast.olivia, expires_at=timezone.now() + timedelta(days=7),
    )  # fmt: skip
    ACTS["delete"](cast.oskar, cast.acme)

    ACTS["erase"](cast.oskar, cast.acme)

    erased = PersonKey.objects.exclude(erased_at=None).values_list("subject", flat=True)
    assert set(erased) == {subject_of(cast.olivia), subject_of("nina@acme.test")}
