"""Everything that can go wrong under `/api/v1`, in OpenAI's shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import structlog
from django.core.exceptions import PermissionDenied, RequestDataTooBig, ValidationError
from django.db import IntegrityError
from django.http import Http404, HttpResponse
from rest_framework import exceptions

from inference.gateway.errors import (
    OPENAI,
    BodyTooLarge,
    GatewayError,
    InvalidRequest,
    MethodNotAllowed,
    RateLimited,
)
from tenants.audit import origin
from tenants.models import new_id

log = structlog.get_logger()


class WrongAdminKey(InvalidRequest):
    """One answer for every bad key, so that it tells nothing of any key."""

    status = 401
    code = "invalid_api_key"
    message = (
        "The admin key is missing or not valid. "
        "Send `Authorization: Bearer sluice_ak_…` with an admin key from the console."
    )


class ApiKeyRefused(WrongAdminKey):
    """An API key, or what looks like one: whether it exists is not told."""

    code = "admin_key_required"
    message = (
        "This is an API key: it calls models and manages nothing. "
        "Send an admin key, which begins with `sluice_ak_`."
    )


class CsrfMissing(InvalidRequest):
    status = 403
    code = "csrf_failed"
    message = "A browser sends the CSRF token in `X-CSRFToken`. Scripts send an admin key."


class OrganizationUnnamed(InvalidRequest):
    code = "organization_required"
    message = (
        "You are a member of several organizations, or of none. "
        "Name one in the header `OpenAI-Organization`, by its id or short name."
    )


class NotAllowed(InvalidRequest):
    status = 403
    code = "role_not_allowed"
    message = "Your role may not do this. Ask an owner or an admin of the organization."


class ScopeMissing(NotAllowed):
    code = "missing_scope"
    message = "This admin key only reads. Make one that may write, too."


class OwnersOnly(NotAllowed):
    code = "owners_only"
    message = "Only an owner, in person, can make an owner or change one."


class SecondFactorMissing(NotAllowed):
    code = "second_factor_required"
    message = "Your role asks for a second factor. Add one in the console, under Account."


class StepUpNeeded(NotAllowed):
    code = "step_up_required"
    message = "Log in once more: changes take a log-in that is at most 5 minutes old."


class NotWhileSeeing(NotAllowed):
    code = "impersonation_not_allowed"
    message = "While you see the console as somebody else does, the API is not open."


class OrganizationStopped(NotAllowed):
    code = "organization_stopped"


class NotFound(InvalidRequest):
    status = 404
    code = "not_found"
    message = "There is no such object, or it is not yours."


class Conflict(InvalidRequest):
    status = 409
    code = "conflict"
    message = "Somebody changed the same at the same time. Read it again, and try once more."


class IdempotencyReused(InvalidRequest):
    """Also for one that is still being worked on."""

    status = 409
    type = "idempotency_error"
    code = "idempotency_error"


def error_response(error: GatewayError) -> HttpResponse:
    response = HttpResponse(
        OPENAI.body(error, new_id()), status=error.status, content_type="application/json"
    )
    response.headers["Cache-Control"] = "no-store"
    for name, value in error.headers.items():
        response.headers[name] = value
    return response


def exception_handler(exc: Exception, context: Mapping[str, Any]) -> HttpResponse:
    """DRF's exception handler for the management API: every exception becomes an answer."""
    error = _error_of(exc)
    if error.status >= 500:
        log.error("management.failed", request_id=origin().request_id, exc_info=exc)
    return error_response(error)


def _error_of(exc: Exception) -> GatewayError:
    match exc:
        case GatewayError():
            return exc
        case ValidationError():
            return invalid(exc)
        case Http404():
            return NotFound()
        case PermissionDenied():
            return NotAllowed()
        case IntegrityError():
            return Conflict()
        case RequestDataTooBig():
            return BodyTooLarge.over(MOST_BYTES)
        case exceptions.Throttled():
            return throttled(getattr(exc, "wait", None))
        case exceptions.MethodNotAllowed():
            return MethodNotAllowed("This path does not take this method.")
        case exceptions.APIException() if exc.status_code < 500:
            return InvalidRequest(str(exc.detail))
    return GatewayError()


MOST_BYTES = 256 * 1024
"""No body is larger."""


def invalid(error: ValidationError) -> InvalidRequest:
    """What a service does not take, under the name of the field if it says one."""
    if hasattr(error, "error_dict"):
        field, messages = next(iter(error.message_dict.items()))
        return InvalidRequest(messages[0], param=None if field == "__all__" else field)
    return InvalidRequest(error.messages[0])


def throttled(wait_s: float | None) -> RateLimited:
    seconds = max(1, round(wait_s or 1))
    return RateLimited(
        f"Too many requests to the management API. Try again in {seconds} s.",
        headers={"Retry-After": str(seconds)},
    )
