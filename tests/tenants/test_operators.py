"""The operator's staff, and when they see what a customer sees."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction

from tenants import services
from tenants.audit import personal_open
from tenants.models import AuditEntry, Impersonation, Membership, StaffRole, User
from tests.conftest import Cast, make_cast


@pytest.fixture
def of_max(cast: Cast) -> Membership:
    return Membership.objects.for_organization(cast.acme).get(user=cast.max)


def staff(cast: Cast, role: StaffRole, email: str = "sara@sluice.test") -> User:
    return services.staff_add(actor=cast.oskar, email=email, name="Sara", role=role)


def test_an_operator_is_added_without_a_password(cast: Cast) -> None:
    sara = staff(cast, StaffRole.SUPPORT)

    assert (sara.is_staff, sara.staff_role) == (True, "support")
    assert not sara.has_usable_password()
    entry = AuditEntry.objects.get(action="staff.add")
    assert (entry.organization, entry.data["after"]) == (None, "support")


def test_a_customer_does_not_become_an_operator(cast: Cast) -> None:
    with pytest.raises(ValidationError, match="has an account"):
        staff(cast, StaffRole.SUPPORT, cast.olivia.email.upper())


def test_staff_without_a_role_cannot_be(cast: Cast) -> None:
    for wrong in ({"is_staff": False}, {"staff_role": ""}, {"staff_role": "king"}):
        with pytest.raises(IntegrityError), transaction.atomic():
            User.objects.filter(pk=cast.oskar.pk).update(**wrong)


def test_the_last_administrator_stays(cast: Cast) -> None:
    staff(cast, StaffRole.SUPPORT)

    with pytest.raises(ValidationError, match="only administrator"):
        services.staff_remove(actor=cast.oskar, user=cast.oskar)
    with pytest.raises(ValidationError, match="only administrator"):
        services.staff_set_role(actor=cast.oskar, user=cast.oskar, role=StaffRole.FINANCE)


def test_who_is_removed_is_out(cast: Cast) -> None:
    sara = staff(cast, StaffRole.ADMINISTRATOR)
    services.staff_remove(actor=sara, user=cast.oskar)

    cast.oskar.refresh_from_db()
    assert not cast.oskar.is_active
    assert not cast.oskar.is_staff
    with pytest.raises(ValidationError, match="no operator any more"):
        services.staff_set_role(actor=sara, user=cast.oskar, role=StaffRole.SUPPORT)


@pytest.mark.django_db(transaction=True)
def test_two_administrators_who_remove_each_other_leave_one() -> None:
    cast = make_cast()
    sara = staff(cast, StaffRole.ADMINISTRATOR)
    barrier = Barrier(2)

    def remove(pair: tuple[User, User]) -> bool:
        barrier.wait(timeout=10)
        try:
            services.staff_remove(actor=pair[0], user=pair[1])
        except ValidationError:
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(2) as pool:
        removed = list(pool.map(remove, [(cast.oskar, sara), (sara, cast.oskar)]))

    assert sorted(removed) == [False, True]
    assert User.objects.filter(is_active=True, staff_role="administrator").count() == 1


def test_looking_in_is_on_record_in_both_trails_with_both_names(
    cast: Cast, of_max: Membership
) -> None:
    started = services.impersonation_start(actor=cast.oskar, membership=of_max, reason=" ticket 7 ")
    services.impersonation_end(actor=cast.oskar, impersonation=started)

    for action in ("impersonation.start", "impersonation.end"):
        for organization in (cast.acme, None):
            entry = AuditEntry.objects.get(action=action, organization=organization)
            assert entry.actor == cast.oskar
            assert "Oskar" not in str(entry.data), "his name goes when he does"
            assert personal_open([entry])[entry.pk]["email"] == "max@acme.test"
    assert (
        AuditEntry.objects.get(action="impersonation.start", organization=cast.acme).reason
        == "ticket 7"
    )


def test_only_helpers_look_in_with_a_reason_and_never_at_staff(
    cast: Cast, of_max: Membership
) -> None:
    with pytest.raises(ValidationError, match="Say why"):
        services.impersonation_start(actor=cast.oskar, membership=of_max, reason=" ")
    for nobody in (staff(cast, StaffRole.FINANCE), cast.olivia):
        with pytest.raises(ValidationError, match="Only administrators and support"):
            services.impersonation_start(actor=nobody, membership=of_max, reason="x")
    User.objects.filter(pk=cast.max.pk).update(is_staff=True, staff_role="support")
    of_max.user.refresh_from_db()
    with pytest.raises(ValidationError, match="operator"):
        services.impersonation_start(actor=cast.oskar, membership=of_max, reason="x")
    assert not Impersonation.objects.exists()


def test_who_looks_in_elsewhere_stops_looking_in_here(cast: Cast, of_max: Membership) -> None:
    of_rita = Membership.objects.for_organization(cast.rival).get()
    first = services.impersonation_start(actor=cast.oskar, membership=of_max, reason="x")
    services.impersonation_start(actor=cast.oskar, membership=of_rita, reason="y")

    first.refresh_from_db()
    assert first.ended_at is not None
