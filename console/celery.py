"""The Celery app of worker and beat."""

from __future__ import annotations

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")

app = Celery("sluice")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.autodiscover_tasks(["console"], related_name="mails")
app.autodiscover_tasks(["console"], related_name="key_mails")
app.autodiscover_tasks(["console"], related_name="payment_mails")
app.autodiscover_tasks(["console.api"], related_name="idempotency")
