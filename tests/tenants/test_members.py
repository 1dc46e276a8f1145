"""Who may change whom, and that an organization is never without an owner."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from django.core.exceptions import ValidationError
from django.db import connection

from tenants import services
from tenants.audit import personal_open
from tenants.models import ApiKey, AuditEntry, Membership, Organization, Role, User
from tests.conftest import Cast, make_cast


def member(organization: Organization, user: User) -> Membership:
    return Membership.objects.for_organization(organization).get(user=user)


def test_a_role_is_changed_and_on_record(cast: Cast) -> None:
    of_max = member(cast.acme, cast.max)

    changed = services.member_set_role(actor=cast.olivia, membership=of_max, role=Role.BILLING)

    assert changed.role == Role.BILLING
    entry = AuditEntry.objects.for_organization(cast.acme).get(action="member.set_role")
    assert (entry.data["before"], entry.data["after"]) == ("developer", "billing")
    assert personal_open([entry])[entry.pk]["email"] == "max@acme.test"


def test_the_same_role_again_is_no_act(cast: Cast) -> None:
    of_max = member(cast.acme, cast.max)

    services.member_set_role(actor=cast.olivia, membership=of_max, role=Role.DEVELOPER)

    assert not AuditEntry.objects.filter(action="member.set_role").exists()


def test_only_owners_make_and_unmake_owners(cast: Cast) -> None:
    Membership.objects.filter(user=cast.max).update(role=Role.ADMIN)
    of_max, of_olivia = member(cast.acme, cast.max), member(cast.acme, cast.olivia)

    for act in (
        lambda: services.member_set_role(actor=cast.max, membership=of_max, role=Role.OWNER),
        lambda: services.member_set_role(actor=cast.max, membership=of_olivia, role=Role.ADMIN),
        lambda: services.member_remove(actor=cast.max, membership=of_olivia),
        lambda: services.invitation_create(
            actor=cast.max, organization=cast.acme, email="new@acme.test", role=Role.OWNER
        ),
    ):
        with pytest.raises(ValidationError, match="Only an owner"):
            act()

    assert member(cast.acme, cast.olivia).role == Role.OWNER
    assert member(cast.acme, cast.max).role == Role.ADMIN


def test_an_owner_of_another_organization_is_no_owner_here(cast: Cast) -> None:
    of_max = member(cast.acme, cast.max)

    with pytest.raises(ValidationError, match="Only an owner"):
        services.member_set_role(actor=cast.rita, membership=of_max, role=Role.OWNER)


def test_the_last_owner_stays(cast: Cast) -> None:
    mine = member(cast.acme, cast.olivia)

    with pytest.raises(ValidationError, match="only owner"):
        services.member_remove(actor=cast.olivia, membership=mine)
    with pytest.raises(ValidationError, match="only owner"):
        services.member_set_role(actor=cast.olivia, membership=mine, role=Role.ADMIN)


def test_an_owner_leaves_when_there_is_another(cast: Cast) -> None:
    of_max = member(cast.acme, cast.max)
    services.member_set_role(actor=cast.olivia, membership=of_max, role=Role.OWNER)

    services.member_remove(actor=cast.olivia, membership=member(cast.acme, cast.olivia))

    assert [one.user for one in Membership.objects.for_organization(cast.acme)] == [cast.max]
    actions = AuditEntry.objects.for_organization(cast.acme).values_list("action", flat=True)
    assert "member.leave" in actions


def test_who_is_gone_cannot_be_changed_any_more(cast: Cast) -> None:
    of_max = member(cast.acme, cast.max)
    services.member_remove(actor=cast.olivia, membership=of_max)

    with pytest.raises(ValidationError, match="no member any more"):
        services.member_set_role(actor=cast.olivia, membership=of_max, role=Role.ADMIN)


def test_a_removed_member_keeps_the_account(cast: Cast) -> None:
    services.member_remove(actor=cast.olivia, membership=member(cast.acme, cast.max))

    cast.max.refresh_from_db()
    assert cast.max.is_active
    assert not Organization.objects.for_user(cast.max).exists()


@pytest.mark.parametrize("ends", [True, False])
def test_keys_of_their_own_end_with_a_member_where_that_is_wanted(cast: Cast, ends: bool) -> None:
    services.organization_set_keys_end(
        actor=cast.olivia, organization=cast.acme, keys_end_with_member=ends
    )
    services.api_key_create(actor=cast.max, project=cast.project, name="of Max")

    services.member_remove(actor=cast.olivia, membership=member(cast.acme, cast.max))

    active = set(ApiKey.objects.for_organization(cast.acme).active().values_list("name", flat=True))
    assert active == {"Acme production"} | (set() if ends else {"of Max"})


@pytest.mark.django_db(transaction=True)
def test_two_owners_who_leave_at_once_leave_one() -> None:
    cast = make_cast()
    Membership.objects.filter(user=cast.max).update(role=Role.OWNER)
    both = [(user, member(cast.acme, user)) for user in (cast.olivia, cast.max)]
    barrier = Barrier(2)

    def leave(user: User, mine: Membership) -> Callable[[], bool]:
        def run() -> bool:
            barrier.wait(timeout=10)
            try:
                services.member_remove(actor=user, membership=mine)
            except ValidationError:
                return False
            finally:
                connection.close()
            return True

        return run

    with ThreadPoolExecutor(2) as pool:
        left = [future.result() for future in [pool.submit(leave(*one)) for one in both]]

    assert sorted(left) == [False, True]
    assert Membership.objects.for_organization(cast.acme).owners().count() == 1


def test_ownership_changes_hands_when_it_is_accepted(cast: Cast) -> None:
    services.ownership_offer(actor=cast.olivia, membership=member(cast.acme, cast.max))
    assert member(cast.acme, cast.max).role == Role.DEVELOPER

    services.ownership_accept(actor=cast.max, organization=cast.acme)

    assert member(cast.acme, cast.max).role == Role.OWNER
    assert member(cast.acme, cast.olivia).role == Role.ADMIN
    with pytest.raises(ValidationError, match="no offer"):
        services.ownership_accept(actor=cast.max, organization=cast.acme)


def test_an_offer_is_for_one_person_and_ends(cast: Cast) -> None:
    offer = services.ownership_offer(actor=cast.olivia, membership=member(cast.acme, cast.max))
    with pytest.raises(ValidationError, match="somebody else"):
        services.ownership_accept(actor=cast.olivia, organization=cast.acme)

    offer.expires_at = offer.created_at
    offer.save()
    with pytest.raises(ValidationError, match="expired"):
        services.ownership_accept(actor=cast.max, organization=cast.acme)

    services.ownership_withdraw(actor=cast.max, organization=cast.acme)
    actions = AuditEntry.objects.for_organization(cast.acme).values_list("action", flat=True)
    assert "ownership.decline" in actions


def test_who_is_no_owner_hands_nothing_over(cast: Cast) -> None:
    with pytest.raises(ValidationError, match="Only an owner"):
        services.ownership_offer(actor=cast.max, membership=member(cast.acme, cast.max))
    services.ownership_offer(actor=cast.olivia, membership=member(cast.acme, cast.max))
    Membership.objects.create(organization=cast.acme, user=cast.rita, role=Role.ADMIN)
    with pytest.raises(ValidationError, match="Only an owner"):
        services.ownership_withdraw(actor=cast.rita, organization=cast.acme)
