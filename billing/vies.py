"""VIES, where the EU says whether a VAT id is valid: asked each week, and what it says is kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from http.client import HTTPException
from typing import Any, Final, NamedTuple
from urllib.request import Request, urlopen

import structlog
from django.conf import settings
from django.db.models import F, Q

from billing.models import BillingProfile
from billing.profiles import vat_evidence_set
from billing.vat import PREFIXES

TIMEOUT_S: Final = 10
ASKED_AGAIN: Final = timedelta(days=7)
AT_ONCE: Final = 50

log = structlog.get_logger()


class Answer(NamedTuple):
    """`reference` is the number of the consultation, which proves that it was asked."""

    is_valid: bool
    reference: str = ""
    name: str = ""


class NoAnswerError(Exception):
    """It could not be asked, or did not know: what was known before still counts for a while."""


type Ask = Callable[[str], Answer]


def vies_ask(vat_id: str) -> Answer:
    """Raises NoAnswerError."""
    own = settings.SELLER_VAT_ID
    asked = {"countryCode": vat_id[:2], "vatNumber": vat_id[2:]}
    if own:
        asked |= {"requesterMemberStateCode": own[:2], "requesterNumber": own[2:]}
    request = Request(  # noqa: S310 - the operator's own setting
        f"{settings.VIES_URL}/check-vat-number",
        data=json.dumps(asked).encode(),
        headers={"Content-Type": "application/json"},
    )
    try:
        with urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
            return answer_read(json.load(answer))
    except (OSError, HTTPException, ValueError) as error:
        raise NoAnswerError(f"{type(error).__name__}: {error}") from error


def answer_read(said: dict[str, Any]) -> Answer:
    """Raises NoAnswerError where it says that a country's own register does not answer."""
    if not isinstance(said.get("valid"), bool):
        raise NoAnswerError(json.dumps(said)[:300])
    return Answer(said["valid"], said.get("requestIdentifier") or "", said.get("name") or "")


def vat_ids_check(now: datetime, ask: Ask = vies_ask) -> int:
    """Ask about ids of other countries whose answer is a week old, and return how many answered."""
    if not settings.VIES_URL.startswith("https://"):
        return 0
    due = Q(vat_checked_at=None) | Q(vat_checked_at__lt=now - ASKED_AGAIN)
    abroad = BillingProfile.objects.filter(due, country__in=PREFIXES, is_business=True)
    wanted = abroad.exclude(vat_id="").exclude(country=settings.SELLER_COUNTRY)
    longest = F("vat_checked_at").asc(nulls_first=True)
    found = list(wanted.select_related("organization").order_by(longest)[:AT_ONCE])
    return sum(_is_answered(profile, now, ask) for profile in found)


def _is_answered(profile: BillingProfile, now: datetime, ask: Ask) -> bool:
    try:
        answer = ask(profile.vat_id)
    except NoAnswerError as error:
        log.warning("vies.no_answer", country=profile.country, error=str(error))
        return False
    vat_evidence_set(actor=None, profile=profile, source="VIES", checked_at=now, **answer._asdict())
    return True
