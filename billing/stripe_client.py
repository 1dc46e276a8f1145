"""Stripe's API, as much of it as is used here. No other module imports its SDK.

The SDK neither tries again nor makes up a key: both are the outbox's. Objects are plain dicts.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final, cast

import stripe
from django.conf import settings

from billing.models import Op

API_VERSION: Final = stripe.api_version
TIMEOUT_S: Final = (5, 20)
"""To connect, and until it answers."""
FOUND_SINCE: Final = timedelta(minutes=10)
"""Objects are looked for from so long before a call on: clocks do not quite agree."""

type Thing = dict[str, Any]
type Call = Callable[..., stripe.StripeObject]

NOT_NOW: Final = frozenset({401, 403, 409, 429})
"""Nothing was done: a key that is wrong, a call that is under way, too many calls."""


class StripeError(Exception):
    """Stripe did not do what was asked; says why."""


class StripeUnknownError(StripeError):
    """It may have been done: no answer came, or one that something failed there.

    `is_stored` is whether the same key would only bring the same answer.
    """

    def __init__(self, message: str, *, is_stored: bool = False) -> None:
        super().__init__(message)
        self.is_stored = is_stored


class StripeBusyError(StripeError):
    """Not now; the same call may be made later."""


class StripeRefusedError(StripeError):
    """It will never be done. `about` is the object that it was about, when Stripe tells it."""

    def __init__(self, message: str, *, code: str = "", about: Thing | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.about = about or {}


class StripeConfusedError(StripeError):
    """The key was used for another call: our mistake."""


class SignatureError(ValueError):
    """Whoever sent this does not know the secret."""


def is_on() -> bool:
    return bool(settings.STRIPE_API_KEY)


def is_live() -> bool:
    return settings.STRIPE_API_KEY.startswith(("sk_live_", "rk_live_"))


def minor(amount: Decimal) -> int:
    """In hundredths, as Stripe counts EUR and SEK."""
    whole = int(amount * 100)
    if whole != amount * 100:
        raise ValueError(f"{amount} has parts of a cent.")
    return whole


def major(cents: int) -> Decimal:
    return Decimal(cents).scaleb(-2)


@lru_cache(maxsize=4)
def connected(key: str, base: str) -> stripe.StripeClient:
    """The SDK with our key; tests put a double here."""
    http = stripe.RequestsClient(timeout=TIMEOUT_S)
    return stripe.StripeClient(
        key,
        base_addresses={"api": base} if base else None,
        max_network_retries=0,
        http_client=http,
    )


def _api() -> Any:
    """The SDK types what each call takes; here calls are told by data, which the double checks."""
    return connected(settings.STRIPE_API_KEY, settings.STRIPE_API_BASE).v1


def send(op: Op, payload: Mapping[str, Any], key: str) -> Thing:
    """Make one call; `id` in the payload is of the object that it changes."""
    params = {name: value for name, value in payload.items() if name != "id"}
    own = [payload["id"]] if "id" in payload else []
    return _made(_SENDS[op](_api()), *own, params=params, options={"idempotency_key": key})


def find(op: Op, payload: Mapping[str, Any], outbox_id: str, since: datetime) -> Thing | None:
    """What an earlier try has made or changed, if it did. Reads lists: searching lags behind."""
    if op is Op.DELETE:
        return _gone("invoice", payload["id"])
    if op in _ENDS:
        kind, over = _ENDS[op]
        thing = fetch(kind, payload["id"])
        return thing if thing["status"] in over else None
    kind, by = _FINDS[op]
    scope = {name: payload[name] for name in by}
    made = listed(kind, created={"gte": int((since - FOUND_SINCE).timestamp())}, **scope)
    return next((one for one in made if _outbox_id(one) == outbox_id), None)


def fetch(kind: str, thing_id: str, *expand: str) -> Thing:
    """An object as it is now."""
    return _made(_KINDS[kind](_api()).retrieve, thing_id, params={"expand": list(expand)})


def _gone(kind: str, thing_id: str) -> Thing | None:
    """What is left of an object that was deleted; None of one that is there."""
    try:
        thing = fetch(kind, thing_id)
    except StripeRefusedError as error:
        if error.code != "resource_missing":
            raise
        return {"id": thing_id, "deleted": True}
    return thing if thing.get("deleted") else None


def listed(kind: str, **params: Any) -> Iterator[Thing]:
    """All of a kind, the newest first, page by page."""
    after = dict[str, str]()
    while True:
        page = _made(_KINDS[kind](_api()).list, params={"limit": 100, **params, **after})
        yield from page["data"]
        if not page["has_more"]:
            return
        after = {"starting_after": page["data"][-1]["id"]}


def portal_open(customer: str, return_url: str, key: str) -> str:
    """The address of a portal of the customer's own, for a few minutes."""
    params = {"customer": customer, "return_url": return_url}
    create = _api().billing_portal.sessions.create
    return str(_made(create, params=params, options={"idempotency_key": key})["url"])


def signed_at(body: bytes, header: str, secret: str) -> int:
    """When the sender signed `body` with `secret`, as seconds. SignatureError if nobody did.

    How long ago that may be is for the caller to say: the SDK would take one from the future.
    """
    try:
        text = body.decode()
        stripe.WebhookSignature.verify_header(text, header, secret, tolerance=None)
        stamps = [part[2:] for part in header.split(",") if part.startswith("t=")]
        return int(stamps[0])
    except (stripe.SignatureVerificationError, ValueError, IndexError) as error:
        raise SignatureError("The signature is none of ours.") from error


def signature_of(body: str, secret: str, moment: datetime) -> str:
    """What Stripe would send with `body`, for tests."""
    stamp = int(moment.timestamp())
    digest = hmac.new(secret.encode(), f"{stamp}.{body}".encode(), "sha256").hexdigest()
    return f"t={stamp},v1={digest}"


def _made(call: Call, *own: str, **options: Any) -> Thing:
    try:
        return call(*own, **options).to_dict(for_json=True)
    except stripe.StripeError as error:
        raise _told(error) from error


def _told(error: stripe.StripeError) -> StripeError:
    status = error.http_status or 0
    message = (error.user_message or type(error).__name__)[:400]
    if isinstance(error, stripe.IdempotencyError) and status == 400:
        return StripeConfusedError(message)
    if status in NOT_NOW:
        return StripeBusyError(message)
    if status < 400 or status >= 500:
        return StripeUnknownError(message, is_stored=_is_replayed(error.headers or {}))
    return StripeRefusedError(message, code=error.code or "", about=_about(error))


def _is_replayed(headers: Mapping[str, str]) -> bool:
    said = {name.lower(): value for name, value in headers.items()}
    return said.get("idempotent-replayed") == "true"


def _about(error: stripe.StripeError) -> Thing | None:
    body = cast("dict[str, Any]", error.json_body or {})
    return cast("Thing | None", body.get("error", {}).get("payment_intent"))


def _outbox_id(thing: Thing) -> str:
    return str((thing.get("metadata") or {}).get("outbox_id", ""))


_KINDS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "customer": lambda api: api.customers,
    "payment_method": lambda api: api.payment_methods,
    "payment_intent": lambda api: api.payment_intents,
    "checkout.session": lambda api: api.checkout.sessions,
    "invoice": lambda api: api.invoices,
    "invoiceitem": lambda api: api.invoice_items,
    "credit_note": lambda api: api.credit_notes,
    "refund": lambda api: api.refunds,
    "balance_transaction": lambda api: api.balance_transactions,
    "event": lambda api: api.events,
}
_SENDS: Final[Mapping[Op, Callable[[Any], Call]]] = {
    Op.CUSTOMER: lambda api: api.customers.create,
    Op.CHECKOUT: lambda api: api.checkout.sessions.create,
    Op.EXPIRE: lambda api: api.checkout.sessions.expire,
    Op.CHARGE: lambda api: api.payment_intents.create,
    Op.CANCEL: lambda api: api.payment_intents.cancel,
    Op.INVOICE: lambda api: api.invoices.create,
    Op.ITEM: lambda api: api.invoice_items.create,
    Op.FINALIZE: lambda api: api.invoices.finalize_invoice,
    Op.VOID: lambda api: api.invoices.void_invoice,
    Op.WRITE_OFF: lambda api: api.invoices.mark_uncollectible,
    Op.DELETE: lambda api: api.invoices.delete,
    Op.PAY_ELSEWHERE: lambda api: api.invoices.pay,
    Op.CREDIT_NOTE: lambda api: api.credit_notes.create,
    Op.REFUND: lambda api: api.refunds.create,
}
_FINDS: Final[Mapping[Op, tuple[str, tuple[str, ...]]]] = {
    Op.CUSTOMER: ("customer", ()),
    Op.CHECKOUT: ("checkout.session", ("customer",)),
    Op.CHARGE: ("payment_intent", ("customer",)),
    Op.INVOICE: ("invoice", ("customer",)),
    Op.ITEM: ("invoiceitem", ("invoice",)),
    Op.CREDIT_NOTE: ("credit_note", ("invoice",)),
    Op.REFUND: ("refund", ("payment_intent",)),
}
MADE: Final = frozenset(_FINDS)
"""These make an object, which is found again by the `outbox_id` in its metadata."""
_ENDS: Final[Mapping[Op, tuple[str, frozenset[str]]]] = {
    Op.EXPIRE: ("checkout.session", frozenset({"expired", "complete"})),
    Op.CANCEL: ("payment_intent", frozenset({"canceled", "succeeded"})),
    Op.FINALIZE: ("invoice", frozenset({"open", "paid", "uncollectible", "void"})),
    Op.VOID: ("invoice", frozenset({"void"})),
    Op.WRITE_OFF: ("invoice", frozenset({"uncollectible", "paid", "void"})),
    Op.PAY_ELSEWHERE: ("invoice", frozenset({"paid"})),
}
