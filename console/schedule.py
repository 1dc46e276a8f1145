"""What the worker does by itself, and when: in seconds, or at times of UTC."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from celery.schedules import crontab

SCHEDULE: Final[Mapping[str, Mapping[str, Any]]] = {
    "ingest usage": {
        "task": "billing.tasks.usage_ingest",
        "schedule": 1.0,
        "options": {"expires": 2.0},
    },
    "tell of budgets": {
        "task": "billing.tasks.budget_alerts_tell",
        "schedule": 10.0,
        "options": {"expires": 20.0},
    },
    "retry usage": {"task": "billing.tasks.dead_usage_retry", "schedule": 60.0},
    "tend accounts": {"task": "billing.tasks.accounts_tend", "schedule": 60.0},
    "reconcile usage": {"task": "billing.tasks.usage_reconcile", "schedule": crontab(minute=7)},
    "make months of usage": {"task": "billing.tasks.usage_partitions_tend", "schedule": 3600.0},
    "end impersonations": {"task": "tenants.tasks.impersonations_end", "schedule": 60.0},
    "erase organizations": {
        "task": "billing.tasks.deleted_organizations_erase",
        "schedule": 600.0,
    },
    "expire credit": {"task": "billing.tasks.credit_expire", "schedule": 600.0},
    "give monthly credit": {"task": "billing.tasks.promo_monthly_give", "schedule": 60.0},
    "keep when keys were used": {"task": "tenants.tasks.key_uses_keep", "schedule": 60.0},
    "tell of keys that end": {"task": "console.key_mails.ends_tell", "schedule": 600.0},
    "tell of leaked keys": {
        "task": "console.key_mails.leaks_tell",
        "schedule": 10.0,
        "options": {"expires": 20.0},
    },
    "forget idempotent answers": {
        "task": "console.api.idempotency.answers_forget",
        "schedule": 3600.0,
    },
    "anchor the audit trail": {"task": "tenants.tasks.audit_anchor", "schedule": 600.0},
    "verify the audit trail": {
        "task": "tenants.tasks.audit_verify",
        "schedule": crontab(minute=23),
    },
    "pay and be paid": {
        "task": "billing.tasks.payments_work",
        "schedule": 2.0,
        "options": {"expires": 4.0},
    },
    "look for what is late": {"task": "billing.tasks.dunning_look", "schedule": 30.0},
    "tell of payments": {
        "task": "console.payment_mails.payments_tell",
        "schedule": 10.0,
        "options": {"expires": 20.0},
    },
    "fetch events of Stripe": {
        "task": "billing.tasks.stripe_events_fetch",
        "schedule": crontab(minute=11),
    },
    "reconcile with Stripe": {
        "task": "billing.tasks.stripe_reconcile",
        "schedule": crontab(minute=37),
    },
    "reconcile five weeks with Stripe": {
        "task": "billing.tasks.stripe_reconcile_long",
        "schedule": crontab(hour=3, minute=17),
    },
    "empty old webhooks": {
        "task": "billing.tasks.webhook_bodies_empty",
        "schedule": crontab(hour=4, minute=5),
    },
    "check VAT ids": {"task": "billing.tasks.vat_ids_check", "schedule": 3600.0},
    "close months": {"task": "billing.tasks.months_close", "schedule": crontab(minute="*/10")},
    "verify the books": {
        "task": "billing.tasks.books_verify",
        "schedule": crontab(hour=2, minute=40),
    },
}
