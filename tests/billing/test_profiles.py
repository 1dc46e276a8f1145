"""Whom invoices go to, and the VAT that follows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.apps import apps
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.test import override_settings

from billing.models import BillingProfile, VatTreatment
from billing.profiles import profile_set, vat_decide, vat_evidence_set
from billing.vies import Answer, NoAnswerError, answer_read, vat_ids_check
from tenants.models import AuditEntry
from tests.conftest import Cast

pytestmark = pytest.mark.django_db
CHECKED = datetime(2026, 3, 1, 9, tzinfo=UTC)
GERMAN = "DE136695976"


def german(cast: Cast, vat_id: str = "de 136 695 976") -> BillingProfile:
    return profile_set(
        actor=cast.olivia, organization=cast.acme, legal_name="Acme GmbH", address="Weg 1",
        postcode="10115", city="Berlin", country="de", vat_id=vat_id,
    )  # fmt: skip


def test_a_proven_business_abroad_accounts_for_vat_itself_for_thirty_days(cast: Cast) -> None:
    profile = german(cast)
    assert (profile.vat_id, profile.country) == (GERMAN, "DE")
    assert vat_decide(profile, CHECKED.date()).treatment == VatTreatment.CONSUMER
    vat_evidence_set(
        actor=cast.oskar, profile=profile, is_valid=True, source="VIES", reference="WAPI1",
        checked_at=CHECKED,
    )  # fmt: skip
    found = vat_decide(profile, (CHECKED + timedelta(days=30)).date())
    assert (found.rate, found.treatment) == (Decimal(0), VatTreatment.REVERSE_CHARGE)
    assert GERMAN in found.note
    late = vat_decide(profile, (CHECKED + timedelta(days=31)).date())
    assert (late.rate, late.treatment) == (Decimal(19), VatTreatment.CONSUMER)
    assert german(cast).vat_evidence["reference"] == "WAPI1"
    assert german(cast, "DE129273398").vat_evidence == {}
    checks = AuditEntry.objects.filter(action="billing_profile.vat_check")
    assert checks.get().data["is_valid"] is True


def test_an_id_that_is_not_valid_proves_nothing(cast: Cast) -> None:
    profile = german(cast)
    vat_evidence_set(actor=None, profile=profile, is_valid=False, source="VIES", checked_at=CHECKED)
    assert vat_decide(profile, CHECKED.date()).rate == 19


def test_who_did_not_say_who_he_is_pays_our_vat() -> None:
    assert vat_decide(None, CHECKED.date()).rate == 25


@pytest.mark.parametrize(
    ("field", "value"),
    [("vat_id", "DE123"), ("vat_id", "SE556188840401"), ("city", " "), ("country", "Sweden"),
     ("country", "SW"), ("country", "EL"), ("email", "nobody")],
)  # fmt: skip
def test_nonsense_is_refused_at_its_field(cast: Cast, field: str, value: str) -> None:
    given: dict[str, Any] = {
        "legal_name": "A",
        "address": "B",
        "postcode": "1",
        "city": "C",
        "country": "DE",
    }
    with pytest.raises(ValidationError) as refused:
        profile_set(actor=None, organization=cast.acme, **(given | {field: value}))
    assert list(refused.value.message_dict) == [field]
    assert not BillingProfile.objects.exists()


def test_the_eu_is_asked_once_a_week_and_its_silence_changes_nothing(cast: Cast) -> None:
    german(cast)

    def silent(_vat_id: str) -> Answer:
        raise NoAnswerError

    said = {"valid": True, "requestIdentifier": "WAPI2", "name": "ACME GMBH"}
    assert vat_ids_check(CHECKED, silent) == 0
    assert vat_ids_check(CHECKED, lambda _vat_id: answer_read(said)) == 1
    assert vat_ids_check(CHECKED + timedelta(days=6), silent) == 0
    assert vat_ids_check(CHECKED + timedelta(days=8), silent) == 0
    kept = BillingProfile.objects.get().vat_evidence
    assert (kept["is_valid"], kept["reference"], kept["name"]) == (True, "WAPI2", "ACME GMBH")
    with pytest.raises(NoAnswerError, match="MS_UNAVAILABLE"):
        answer_read({"actionSucceed": False, "errorWrappers": [{"error": "MS_UNAVAILABLE"}]})


def test_a_seller_of_a_country_whose_vat_is_unknown_does_not_start() -> None:
    unknown = override_settings(SELLER_COUNTRY="UK")
    with unknown, pytest.raises(ImproperlyConfigured, match="SELLER_COUNTRY"):
        apps.get_app_config("billing").ready()
