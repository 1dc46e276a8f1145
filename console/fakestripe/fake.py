"""The double itself: from a request to its answer, with what goes wrong in between."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from pathlib import Path
from threading import RLock
from typing import Any, Final

import stripe

from console.fakestripe import checkout, customers, idempotency, invoices, payments, webhooks
from console.fakestripe.account import API_KEY, API_VERSION, WEBHOOK_SECRET, Account
from console.fakestripe.faults import Fault, Faults, no_faults
from console.fakestripe.forms import decoded
from console.fakestripe.http import (
    ConnectionLost,
    Object,
    Refusal,
    Request,
    Response,
    encoded,
)
from console.fakestripe.lists import expanded
from console.fakestripe.params import checked
from console.fakestripe.routes import ACTS, Route, route_of
from console.fakestripe.store import Store

STALL_S: Final = 30
"""So much later a stalled request is done, when its client has long given up."""
HOSTED: Final = "http://fakestripe.test"
SOME_ERROR: Final = (
    "An unknown error occurred. If the issue persists, contact us at https://support.stripe.com/."
)


class FakeStripe:
    """One account. Its clock is the caller's; everything random follows from the seed.

    Calls may come from several threads; each is done as a whole.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.time,
        seed: int = 0,
        *,
        faults: Faults = no_faults,
        delays: webhooks.Plan = webhooks.in_order,
        api_key: str = API_KEY,
        webhook_secret: str = WEBHOOK_SECRET,
        url: str = HOSTED,
        journal: Path | None = None,
    ) -> None:
        self.account = Account(Store(journal), clock, seed, url)
        self.account.acts = ACTS | {"late": self._late_do}
        self.faults, self.delays = faults, delays
        self.api_key, self.webhook_secret = api_key, webhook_secret
        self.requests = 0
        self._lock = RLock()

    # What clients call

    def answer(self, request: Request) -> Response:
        """Raises ConnectionLost when the client is to get no answer."""
        with self._lock:
            try:
                self.requests += 1
                self.account.tick()
                return self._with_fault(request, self.faults(request, self.account.clock()))
            finally:
                self._save()

    def http_client(self) -> stripe.HTTPClient:
        """For the SDK: no sockets."""
        from console.fakestripe.sdk import InProcess

        return InProcess(self.answer)

    def client(self) -> stripe.StripeClient:
        """The SDK's client, with nothing between it and this."""
        return stripe.StripeClient(
            self.api_key, http_client=self.http_client(), max_network_retries=0
        )

    # Time and webhooks

    def tick(self) -> None:
        """Do what is due by itself, such as charges of cards and ends of sessions."""
        self.change(lambda: None)

    def deliver(self, send: webhooks.Send) -> int:
        """Send the webhooks that are due; how many were sent."""
        self.tick()
        count = 0
        for delivery in webhooks.due(self.account):
            if message := webhooks.message(self.account, delivery, self.webhook_secret):
                self.delivered(delivery, send(*message))
                count += 1
        return count

    def delivered(self, delivery: Object, status: int) -> None:
        self.change(lambda: webhooks.sent(self.account, delivery, status))

    def events(self, *types: str) -> list[Object]:
        """What happened, the oldest first: all, or what is of `types`."""
        events = map(self.account.shown, self.account.store.all("event"))
        return [event for event in events if not types or event["type"] in types]

    def all(self, kind: str) -> list[Object]:
        """Every object of a kind as clients would see it, for tests."""
        return list(map(self.account.shown, self.account.store.all(kind)))

    # What people do on the hosted pages

    def pay(self, url: str, number: str = "4242424242424242", **details: Any) -> Object:
        """Pay what the page at `url` asks for. Raises Refusal, as the page would show it."""
        return self.change(lambda: self._pay(url.rsplit("/", 1)[1], number, details))

    def authenticate(self, url: str, *, is_holder: bool = True) -> Object:
        """Answer the bank at `url`. Raises Refusal when it refuses."""
        intent = self.account.get("payment_intent", url.rsplit("/", 1)[1])
        return self.change(lambda: self._authenticate(intent, is_holder=is_holder))

    def change[T](self, act: Callable[[], T]) -> T:
        """Do what no request asks for, as a whole, and keep it."""
        with self._lock:
            try:
                self.account.request = {"id": None, "idempotency_key": None}
                self.account.tick()
                return act()
            finally:
                self._save()

    def _authenticate(self, intent: Object, *, is_holder: bool) -> Object:
        payments.authenticated(self.account, intent, is_holder=is_holder)
        if "_session" in intent:
            session = self.account.get("checkout.session", intent["_session"])
            checkout.session_complete(self.account, session)
        elif "_invoice" in intent:
            invoices.paid(self.account, self.account.get("invoice", intent["_invoice"]))
        return intent

    def _pay(self, wanted: str, number: str, details: Object) -> Object:
        method = customers.method_by_number(self.account, number)
        if method is None:
            raise Refusal(400, "card_error", "Your card number is not one of a test card.")
        if wanted.startswith("in_"):
            invoice = self.account.get("invoice", wanted)
            return invoices.charge_now(self.account, invoice, method["id"], is_page=True)
        session = self.account.get("checkout.session", wanted)
        if session["status"] != "open":
            raise Refusal(400, "invalid_request_error", "This page is not open any more.")
        if session["mode"] == "setup":
            checkout.session_set_up(self.account, session, method, details)
            return session
        return checkout.session_pay(self.account, session, method, details)

    # From a request to its answer

    def _with_fault(self, request: Request, fault: Fault | None) -> Response:
        match fault:
            case Fault.DROPPED:
                raise ConnectionLost("Connection refused.")
            case Fault.TOO_MANY:
                message = "Request rate limit exceeded."
                return _refused(
                    Refusal(429, "invalid_request_error", message, code="rate_limit"), "req_429"
                )
            case Fault.STALLED:
                self._stall(request)
                raise ConnectionLost("Request timed out.")
            case Fault.FAILED_BEFORE | Fault.FAILED_AFTER:
                return self._done(request, fault)
        response = self._done(request)
        if fault:
            raise ConnectionLost("Connection reset by peer.")
        return response

    def _done(self, request: Request, fault: Fault | None = None) -> Response:
        request_id = self.account.new_id("req", 14)
        try:
            key = self._key(request)
            if key and (kept := idempotency.recall(self.account, key, request)):
                return _headed(kept, request_id, key)
            return self._fresh(request, request_id, key, fault)
        except Refusal as refusal:
            return _refused(refusal, request_id)

    def _key(self, request: Request) -> str:
        """Of a caller that may call. Raises Refusal for any other."""
        given = _secret_of(request.headers.get("authorization", ""))
        if given != self.api_key:
            message = (
                f"Invalid API Key provided: {given[:8]}***"
                if given
                else "You did not provide an API key. You need to provide your API key in the "
                "Authorization header, using Bearer auth (e.g. 'Authorization: Bearer "
                "YOUR_SECRET_KEY')."
            )
            raise Refusal(401, "invalid_request_error", message)
        return request.headers.get("idempotency-key", "") if request.method == "POST" else ""

    def _fresh(self, request: Request, request_id: str, key: str, fault: Fault | None) -> Response:
        route, ids = route_of(request.method, request.path)
        given = checked(route.typed, decoded(request.query or request.body))
        if key:
            idempotency.begin(self.account, key, request)
        self.account.request = {"id": request_id, "idempotency_key": key or None}
        response = self._faulty(route, given, ids, request_id, fault)
        if key:
            idempotency.keep(self.account, key, request_id, response)
        return _headed(response, request_id, key)

    def _faulty(
        self, route: Route, given: Object, ids: tuple[str, ...], request_id: str,
        fault: Fault | None,
    ) -> Response:  # fmt: skip
        if fault is Fault.FAILED_BEFORE:
            return _refused(Refusal(500, "api_error", SOME_ERROR), request_id)
        response = self._handled(route, given, ids, request_id)
        if fault is Fault.FAILED_AFTER:
            return _refused(Refusal(500, "api_error", SOME_ERROR), request_id)
        return response

    def _handled(
        self, route: Route, given: Object, ids: tuple[str, ...], request_id: str
    ) -> Response:
        paths = given.pop("expand", ())
        try:
            answer = self.account.shown(route.handler(self.account, given, *ids))
            return Response(200, encoded(expanded(self.account, answer, paths)), {})
        except Refusal as refusal:
            return _refused(refusal, request_id)

    # Requests that are done when nobody waits any more

    def _stall(self, request: Request) -> None:
        """Its key is in use until it is done."""
        try:
            key = self._key(request)
            if key and idempotency.recall(self.account, key, request) is not None:
                return
            checked(route_of(request.method, request.path)[0].typed, decoded(request.body))
        except Refusal:
            return
        late = {"id": self.account.new_id("late"), "object": "_late", "key": key}
        late |= {name: getattr(request, name) for name in ("method", "path", "query", "body")}
        self.account.put(late | {"headers": dict(request.headers)})
        self.account.later(STALL_S, "late", late)
        if key:
            idempotency.begin(self.account, key, request)

    def _late_do(self, account: Account, late: Object) -> None:
        account.store.remove(late["id"])
        if late["key"]:
            idempotency.forget(account, late["key"])
        names = ("method", "path", "query", "body", "headers")
        self._done(Request(*(late[name] for name in names)))

    def _save(self) -> None:
        webhooks.plan(self.account, self.delays)
        self.account.store.write_down()


def _secret_of(authorization: str) -> str:
    """Of a bearer, or as the name of basic authorization."""
    scheme, _, rest = authorization.partition(" ")
    if scheme.lower() != "basic":
        return rest
    try:
        return base64.b64decode(rest).decode().partition(":")[0]
    except ValueError:
        return ""


def _refused(refusal: Refusal, request_id: str) -> Response:
    error = refusal.error | {"request_log_url": f"https://dashboard.stripe.com/{request_id}"}
    return _headed(Response(refusal.status, encoded({"error": error}), {}), request_id, "")


def _headed(response: Response, request_id: str, key: str) -> Response:
    headers = {
        "content-type": "application/json", "request-id": request_id,
        "stripe-version": API_VERSION, "stripe-should-retry": _may_retry(response.status),
    }  # fmt: skip
    if key:
        headers |= {"idempotency-key": key, "original-request": request_id}
    return Response(response.status, response.body, headers | dict(response.headers))


def _may_retry(status: int) -> str:
    return "true" if status in (409, 429) else "false"
