"""Whom invoices go to, and which VAT follows from that. Each act is atomic and audited."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.utils.translation import gettext as _
from stdnum.eu import vat as eu_vat
from stdnum.exceptions import ValidationError as WrongNumber

from billing.models import BillingProfile
from billing.vat import COUNTRIES, PREFIXES, Vat, vat_rule
from tenants import audit
from tenants.models import Organization, User

EVIDENCE_LASTS: Final = timedelta(days=30)
"""A VAT id is believed for so long after it was last found valid."""
_REQUIRED: Final = ("legal_name", "address", "postcode", "city", "country")


@transaction.atomic
def profile_set(
    *,
    actor: User | None,
    organization: Organization,
    legal_name: str,
    country: str,
    address: str = "",
    address_more: str = "",
    postcode: str = "",
    city: str = "",
    is_business: bool = True,
    vat_id: str = "",
    email: str = "",
    reference: str = "",
) -> BillingProfile:
    """Say whom invoices of `organization` go to, from the next one on.

    What was found out about a VAT id is forgotten when another is given. Raises ValidationError by
    field: for a missing part of the address, and a VAT id that cannot be one of that country.
    """
    given = {
        "legal_name": legal_name, "address": address, "address_more": address_more,
        "postcode": postcode, "city": city, "country": country.upper(),
        "email": email, "reference": reference,
    }  # fmt: skip
    given = {name: text.strip() for name, text in given.items()}
    vat_id = _vat_id(vat_id, given["country"]) if is_business else ""
    if errors := _wrong(given):
        raise ValidationError(errors)
    found = BillingProfile.objects.select_for_update().filter(organization=organization).first()
    profile = found or BillingProfile(organization=organization)
    if profile.vat_id != vat_id:
        profile.vat_id, profile.vat_checked_at, profile.vat_evidence = vat_id, None, {}
    profile.is_business = is_business
    for name, text in given.items():
        setattr(profile, name, text)
    profile.save()
    audit.record(
        actor=actor,
        action="billing_profile.set",
        target=profile,
        organization=organization,
        country=profile.country,
        vat_id=vat_id,
        is_business=is_business,
    )
    return profile


@transaction.atomic
def vat_evidence_set(
    *,
    actor: User | None,
    profile: BillingProfile,
    is_valid: bool,
    source: str,
    reference: str = "",
    name: str = "",
    checked_at: datetime,
) -> BillingProfile:
    """Keep what was answered about the VAT id: by whom, and the number of the consultation."""
    if not profile.vat_id:
        raise ValidationError(_("There is no VAT id to check: enter it first."))
    profile.vat_checked_at = checked_at
    profile.vat_evidence = {
        "vat_id": profile.vat_id, "is_valid": is_valid, "source": source,
        "reference": reference, "name": name, "checked_at": checked_at.isoformat(),
    }  # fmt: skip
    profile.save(update_fields=["vat_checked_at", "vat_evidence"])
    audit.record(
        actor=actor,
        action="billing_profile.vat_check",
        target=profile,
        organization=profile.organization,
        vat_id=profile.vat_id,
        is_valid=is_valid,
        source=source,
        reference=reference,
    )
    return profile


def vat_decide(profile: BillingProfile | None, on: date) -> Vat:
    """The VAT of an invoice `on` a day. Who did not say who he is pays that of our country."""
    seller = settings.SELLER_COUNTRY
    if profile is None:
        return vat_rule(seller, is_business=False, has_valid_id=False, seller=seller)
    ids = f"Our VAT id {settings.SELLER_VAT_ID}, yours {profile.vat_id}."
    return vat_rule(
        profile.country,
        is_business=profile.is_business,
        has_valid_id=_is_proven(profile, on),
        seller=seller,
        ids=ids,
    )


def vat_amount(net: Decimal, rate: Decimal) -> Decimal:
    """In the smallest unit, rounded half up; `rate` in percent."""
    return (net * rate / 100).quantize(Decimal("0.01"), "ROUND_HALF_UP")


def buyer_of(profile: BillingProfile | None, organization: Organization) -> dict[str, Any]:
    """Who is invoiced, as it is kept with the invoice: later changes are of later invoices."""
    if profile is None:
        return {"legal_name": organization.name, "country": settings.SELLER_COUNTRY}
    names = (
        "legal_name", "address", "address_more", "postcode", "city", "country", "vat_id", "email",
        "reference", "is_business", "vat_evidence",
    )  # fmt: skip
    facts = {name: getattr(profile, name) for name in names}
    return {name: value for name, value in facts.items() if value or value is False}


def seller_of() -> dict[str, Any]:
    """Who sells, as the settings say it."""
    return {
        "legal_name": settings.SELLER_NAME,
        "address": settings.SELLER_ADDRESS,
        "country": settings.SELLER_COUNTRY,
        "vat_id": settings.SELLER_VAT_ID,
        "registration": settings.SELLER_REGISTRATION,
        "email": settings.SELLER_EMAIL,
        "iban": settings.SELLER_IBAN,
        "bic": settings.SELLER_BIC,
    }


def _is_proven(profile: BillingProfile, on: date) -> bool:
    """Only a found and recent answer about this very id counts."""
    evidence, checked_at = profile.vat_evidence, profile.vat_checked_at
    if not (checked_at and evidence.get("is_valid") and evidence.get("vat_id") == profile.vat_id):
        return False
    day = checked_at.astimezone(UTC).date()
    return bool(profile.vat_id) and on - EVIDENCE_LASTS <= day


def _vat_id(written: str, country: str) -> str:
    """Without spaces and dots. Raises ValidationError when it cannot be one of that country."""
    if not written.strip() or country not in PREFIXES:
        return "".join(written.split()).upper()
    prefix = PREFIXES[country]
    compact = "".join(sign for sign in written.upper() if sign.isalnum())
    compact = compact if compact.startswith(prefix) else prefix + compact
    try:
        return str(eu_vat.validate(compact))
    except WrongNumber:
        raise ValidationError(
            {"vat_id": _("This is no VAT id of %(country)s: they begin with %(prefix)s.")
             % {"country": country, "prefix": prefix}}
        ) from None  # fmt: skip


def _wrong(given: dict[str, str]) -> dict[str, str]:
    errors = {name: _("This is needed on invoices.") for name in _REQUIRED if not given[name]}
    country = given["country"]
    if country and country not in COUNTRIES:
        errors["country"] = _("Give the country by its two letters, as SE, or GR for Greece.")
    if given["email"]:
        try:
            validate_email(given["email"])
        except ValidationError:
            errors["email"] = _("This is no mail address.")
    return errors
