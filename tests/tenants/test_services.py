from __future__ import annotations

import pytest
from django.db import ProgrammingError, transaction

from tenants import audit, keys, services
from tenants.models import ApiKey, AuditEntry
from tests.conftest import Cast


def test_a_key_is_stored_as_a_digest_only(cast: Cast) -> None:
    stored = ApiKey.objects.filter(pk=cast.key.api_key.pk).values().get()
    assert cast.key.secret not in str(stored)
    assert bytes(stored["digest"]) == keys.key_digest(cast.key.secret)


def test_creating_a_key_is_on_record_without_the_key(cast: Cast) -> None:
    entry = AuditEntry.objects.for_organization(cast.acme).get(action="api_key.create")
    assert entry.actor == cast.olivia
    assert cast.key.secret not in str(entry.data)


def test_revoking_twice_is_one_act(cast: Cast) -> None:
    first = services.api_key_revoke(actor=cast.olivia, api_key=cast.key.api_key)
    again = services.api_key_revoke(actor=cast.max, api_key=cast.key.api_key)
    assert again.revoked_at == first.revoked_at
    assert AuditEntry.objects.filter(action="api_key.revoke").count() == 1


def test_the_audit_trail_cannot_be_changed(cast: Cast) -> None:
    for change in (
        lambda: AuditEntry.objects.update(action="nothing"),
        lambda: AuditEntry.objects.all().delete(),
    ):
        with pytest.raises(ProgrammingError, match="permission denied"), transaction.atomic():
            change()


@pytest.mark.django_db(transaction=True)
def test_an_act_outside_a_transaction_cannot_be_recorded() -> None:
    with pytest.raises(RuntimeError, match="transaction"):
        audit.record(actor=None, action="x", target=AuditEntry())


def test_a_project_has_one_key_for_the_playground(cast: Cast) -> None:
    first = services.playground_key_open(actor=cast.max, project=cast.project)
    again = services.playground_key_open(actor=cast.olivia, project=cast.project)
    assert first == again
    assert first.created_by == cast.max
    assert list(ApiKey.objects.for_organization(cast.acme).listed()) == [cast.key.api_key]
    entries = AuditEntry.objects.for_organization(cast.acme).filter(target_id=str(first.pk))
    assert [entry.data["kind"] for entry in entries] == ["playground"]
