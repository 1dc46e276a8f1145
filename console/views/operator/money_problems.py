"""What of money waits for an operator: told on the overview."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Final, NamedTuple

from django.db import connection
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from console.templatetags.ui import utc
from console.views.operator.health import Problem

# One query, each part of which reads an index of few rows. A card that was declined is its
# customer's, and what nobody has mended in a week is history.
_READ: Final = """
SELECT (SELECT down_since FROM billing_stripesync),
    (SELECT count(*) FROM billing_invoice WHERE state = 'halted'),
    (SELECT count(*) FROM billing_outboxitem WHERE state IN ('failed', 'dead')
        AND op <> 'payment_intent.create'
        AND COALESCE(done_at, created_at) > now() - interval '7 days'),
    (SELECT count(*) FROM billing_reconciliation WHERE resolved_at IS NULL AND kind <> 'lag'),
    (SELECT count(*) FROM billing_payment WHERE excess > 0),
    (SELECT count(*) FROM billing_rate WHERE approved_at IS NULL)
"""


class Waiting(NamedTuple):
    """`down_since` is since when Stripe does not answer; the others are counts."""

    down_since: datetime | None
    halted: int
    refused: int
    differs: int
    too_much: int
    proposed: int


def money_problems() -> Iterator[Problem]:
    """Worst first."""
    seen = _read()
    if seen.down_since:
        said = _("Stripe does not answer since %(since)s.") % {"since": utc(seen.down_since)}
        yield _problem(said, _("What is to be done there waits."), "operator_stripe")
    if count := seen.halted:
        said = ngettext("%(n)s invoice is halted.", "%(n)s invoices are halted.", count)
        means = _("A person must look why.")
        yield _problem(said % {"n": count}, means, "operator_invoices", "?state=halted")
    if count := seen.refused:
        said = ngettext("Stripe refused %(n)s call.", "Stripe refused %(n)s calls.", count)
        means = _("They are not made again by themselves.")
        yield _problem(said % {"n": count}, means, "operator_stripe", "?state=failed")
    if count := seen.differs:
        said = ngettext(
            "%(n)s amount differs from Stripe’s.", "%(n)s amounts differ from Stripe’s.", count
        )
        yield _problem(said % {"n": count}, _("Each is listed."), "operator_reconciliation")
    if count := seen.too_much:
        said = ngettext("%(n)s payment was too much.", "%(n)s payments were too much.", count) % {
            "n": count
        }
        means = _("The rest is to be given back.")
        yield _problem(said, means, "operator_payments", "?state=excess")
    if count := seen.proposed:
        said = ngettext("%(n)s price is proposed.", "%(n)s prices are proposed.", count)
        yield _problem(said % {"n": count}, _("A second person approves it."), "operator_prices")


def _read() -> Waiting:
    with connection.cursor() as cursor:
        cursor.execute(_READ)
        return Waiting._make(cursor.fetchone())


def _problem(what: str, means: str, page: str, query: str = "") -> Problem:
    return Problem(what, means, reverse(page) + query, _("Show"))
