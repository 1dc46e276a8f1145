"""Where Stripe tells us of events. It is nobody's page: whoever signs with the secret is Stripe."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from billing.payments import WebhookRefusedError, webhook_take
from tenants.tenancy import everything

MOST_BYTES: Final = 1024 * 1024


@csrf_exempt
@require_POST
def stripe_webhook(request: HttpRequest) -> HttpResponse:
    """Keep an event and say so at once; the worker looks at what it is about."""
    if int(request.headers.get("Content-Length") or 0) > MOST_BYTES:
        return _told("It is too long.", HTTPStatus.CONTENT_TOO_LARGE)
    try:
        with everything("an event does not say whose it is"):
            webhook_take(request.body, request.headers.get("Stripe-Signature", ""))
    except WebhookRefusedError as refusal:
        return _told(str(refusal), HTTPStatus.BAD_REQUEST)
    return _told("Taken.", HTTPStatus.OK)


def _told(text: str, status: HTTPStatus) -> HttpResponse:
    return HttpResponse(text, content_type="text/plain; charset=utf-8", status=status)
