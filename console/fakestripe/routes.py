"""Which call is which: method, path, typed parameters and what is done."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from console.fakestripe import (
    checkout,
    credit_notes,
    customers,
    invoices,
    items,
    lists,
    payments,
    refunds,
    taxes,
)
from console.fakestripe.account import Account
from console.fakestripe.http import Object, invalid
from console.fakestripe.params import params_class

Handler = Callable[..., Object]
"""Called with the account, the parameters and the ids of the path."""
_ID: Final = r"([A-Za-z0-9_]+)"


@dataclass(frozen=True)
class Route:
    method: str
    path: str
    params: str
    """The name of the SDK's TypedDict under `stripe.params`."""
    handler: Handler

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        return re.compile(self.path.replace("{}", _ID))

    @cached_property
    def typed(self) -> type:
        return params_class(self.params)


def _get(kind: str) -> Handler:
    def handler(account: Account, given: Object, thing_id: str) -> Object:
        return account.get(kind, thing_id)

    return handler


def _list(kind: str, url: str) -> Handler:
    def handler(account: Account, given: Object) -> Object:
        things = [one for one in account.store.all(kind) if not one.get("deleted")]
        return lists.listed(account, things, given, url)

    return handler


def _resource(kind: str, path: str, name: str) -> list[Route]:
    """Its retrieval and its list: what nearly all have."""
    return [
        Route("GET", f"{path}/{{}}", f"{name}RetrieveParams", _get(kind)),
        Route("GET", path, f"{name}ListParams", _list(kind, path)),
    ]


_CUSTOMER: Final = "/v1/customers"
_INVOICE: Final = "/v1/invoices"
_SESSION: Final = "/v1/checkout/sessions"
_PORTAL: Final = "/v1/billing_portal"

ROUTES: Final = [
    Route("POST", _CUSTOMER, "CustomerCreateParams", customers.customer_create),
    Route("GET", f"{_CUSTOMER}/{{}}", "CustomerRetrieveParams", customers.customer_retrieve),
    Route("POST", f"{_CUSTOMER}/{{}}", "CustomerUpdateParams", customers.customer_update),
    Route("DELETE", f"{_CUSTOMER}/{{}}", "CustomerDeleteParams", customers.customer_delete),
    *_resource("customer", _CUSTOMER, "Customer"),
    Route(
        "POST", f"{_CUSTOMER}/{{}}/tax_ids", "CustomerTaxIdCreateParams", customers.tax_id_create
    ),
    Route("GET", f"{_CUSTOMER}/{{}}/tax_ids", "CustomerTaxIdListParams", lists.tax_ids_listed),
    Route(
        "GET",
        f"{_CUSTOMER}/{{}}/tax_ids/{{}}",
        "CustomerTaxIdRetrieveParams",
        customers.tax_id_retrieve,
    ),
    Route(
        "DELETE",
        f"{_CUSTOMER}/{{}}/tax_ids/{{}}",
        "CustomerTaxIdDeleteParams",
        customers.tax_id_delete,
    ),
    Route(
        "GET",
        f"{_CUSTOMER}/{{}}/payment_methods",
        "CustomerPaymentMethodListParams",
        lists.methods_listed,
    ),
    Route("POST", "/v1/tax_ids", "TaxIdCreateParams", customers.tax_id_create),
    *_resource("tax_id", "/v1/tax_ids", "TaxId"),
    Route("POST", "/v1/payment_methods", "PaymentMethodCreateParams", customers.method_create),
    Route(
        "POST",
        "/v1/payment_methods/{}/attach",
        "PaymentMethodAttachParams",
        customers.method_attach,
    ),
    Route(
        "POST",
        "/v1/payment_methods/{}/detach",
        "PaymentMethodDetachParams",
        customers.method_detach,
    ),
    Route("POST", "/v1/payment_methods/{}", "PaymentMethodUpdateParams", customers.method_update),
    Route("GET", "/v1/payment_methods", "PaymentMethodListParams", lists.methods_listed),
    *_resource("payment_method", "/v1/payment_methods", "PaymentMethod"),
    Route("POST", "/v1/payment_intents", "PaymentIntentCreateParams", payments.intent_create),
    Route(
        "POST",
        "/v1/payment_intents/{}/confirm",
        "PaymentIntentConfirmParams",
        payments.intent_confirm,
    ),
    Route(
        "POST", "/v1/payment_intents/{}/cancel", "PaymentIntentCancelParams", payments.intent_cancel
    ),
    Route("POST", "/v1/payment_intents/{}", "PaymentIntentUpdateParams", payments.intent_update),
    *_resource("payment_intent", "/v1/payment_intents", "PaymentIntent"),
    Route("GET", "/v1/setup_intents/{}", "SetupIntentRetrieveParams", _get("setup_intent")),
    *_resource("charge", "/v1/charges", "Charge"),
    *_resource("balance_transaction", "/v1/balance_transactions", "BalanceTransaction"),
    Route("POST", "/v1/refunds", "RefundCreateParams", refunds.refund_create),
    Route("POST", "/v1/refunds/{}", "RefundUpdateParams", refunds.refund_update),
    *_resource("refund", "/v1/refunds", "Refund"),
    Route("POST", "/v1/tax_rates", "TaxRateCreateParams", taxes.rate_create),
    Route("POST", "/v1/tax_rates/{}", "TaxRateUpdateParams", taxes.rate_update),
    *_resource("tax_rate", "/v1/tax_rates", "TaxRate"),
    Route("POST", "/v1/invoiceitems", "InvoiceItemCreateParams", items.item_create),
    Route("POST", "/v1/invoiceitems/{}", "InvoiceItemUpdateParams", items.item_update),
    Route("DELETE", "/v1/invoiceitems/{}", "InvoiceItemDeleteParams", items.item_delete),
    *_resource("invoiceitem", "/v1/invoiceitems", "InvoiceItem"),
    Route("POST", _INVOICE, "InvoiceCreateParams", invoices.invoice_create),
    Route("POST", f"{_INVOICE}/{{}}", "InvoiceUpdateParams", invoices.invoice_update),
    Route("DELETE", f"{_INVOICE}/{{}}", "InvoiceDeleteParams", invoices.invoice_delete),
    Route(
        "POST",
        f"{_INVOICE}/{{}}/finalize",
        "InvoiceFinalizeInvoiceParams",
        invoices.invoice_finalize,
    ),
    Route("POST", f"{_INVOICE}/{{}}/pay", "InvoicePayParams", invoices.invoice_pay),
    Route("POST", f"{_INVOICE}/{{}}/void", "InvoiceVoidInvoiceParams", invoices.invoice_void),
    Route("POST", f"{_INVOICE}/{{}}/send", "InvoiceSendInvoiceParams", invoices.invoice_send),
    Route(
        "POST",
        f"{_INVOICE}/{{}}/mark_uncollectible",
        "InvoiceMarkUncollectibleParams",
        invoices.invoice_mark_uncollectible,
    ),
    Route("GET", f"{_INVOICE}/{{}}/lines", "InvoiceLineItemListParams", lists.lines_listed),
    *_resource("invoice", _INVOICE, "Invoice"),
    *_resource("invoice_payment", "/v1/invoice_payments", "InvoicePayment"),
    Route("POST", "/v1/credit_notes", "CreditNoteCreateParams", credit_notes.note_create),
    Route("POST", "/v1/credit_notes/{}", "CreditNoteUpdateParams", credit_notes.note_update),
    Route(
        "POST", "/v1/credit_notes/{}/void", "CreditNoteVoidCreditNoteParams", credit_notes.note_void
    ),
    Route(
        "GET",
        "/v1/credit_notes/{}/lines",
        "CreditNoteLineItemListParams",
        lists.note_lines_listed,
    ),
    *_resource("credit_note", "/v1/credit_notes", "CreditNote"),
    Route("POST", _SESSION, "checkout.SessionCreateParams", checkout.session_create),
    Route("POST", f"{_SESSION}/{{}}", "checkout.SessionUpdateParams", checkout.session_update),
    Route(
        "POST", f"{_SESSION}/{{}}/expire", "checkout.SessionExpireParams", checkout.session_expire
    ),
    Route(
        "GET",
        f"{_SESSION}/{{}}/line_items",
        "checkout.SessionLineItemListParams",
        checkout.session_lines,
    ),
    *_resource("checkout.session", _SESSION, "checkout.Session"),
    Route(
        "POST",
        f"{_PORTAL}/sessions",
        "billing_portal.SessionCreateParams",
        checkout.portal_create,
    ),
    Route(
        "POST",
        f"{_PORTAL}/configurations",
        "billing_portal.ConfigurationCreateParams",
        checkout.configuration_create,
    ),
    Route(
        "POST",
        f"{_PORTAL}/configurations/{{}}",
        "billing_portal.ConfigurationUpdateParams",
        checkout.configuration_update,
    ),
    *_resource(
        "billing_portal.configuration", f"{_PORTAL}/configurations", "billing_portal.Configuration"
    ),
    *_resource("event", "/v1/events", "Event"),
]

ACTS: Final[dict[str, Any]] = (
    checkout.ACTS | customers.ACTS | invoices.ACTS | payments.ACTS
)  # fmt: skip


def route_of(method: str, path: str) -> tuple[Route, tuple[str, ...]]:
    """Raises Refusal, as Stripe does for what is none of its paths."""
    for route in ROUTES:
        if route.method == method and (match := route.pattern.fullmatch(path)):
            return route, match.groups()
    raise invalid(
        f"Unrecognized request URL ({method}: {path}). Please see https://stripe.com/docs or we "
        "can help at https://support.stripe.com/.",
        status=404,
    )
