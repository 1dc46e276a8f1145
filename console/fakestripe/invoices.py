"""Invoices: draft, open, then paid, void or uncollectible."""

from __future__ import annotations

from typing import Any, Final

import stripe

from console.fakestripe.account import DAY_S, LEAST, Account, currency_of, unexpected
from console.fakestripe.customers import method_find
from console.fakestripe.http import Object, Refusal, invalid, missing
from console.fakestripe.items import editable_check, pending_take, totals_set
from console.fakestripe.objects import made, metadata_merged
from console.fakestripe.payments import confirm, intent_end, intent_new
from console.fakestripe.taxes import rates_of

HOUR_S: Final = 3600
RETRY_DAYS: Final = (3, 5, 7)
"""So many days after each refusal a card is tried again."""
_PLAIN: Final = (
    "auto_advance", "collection_method", "custom_fields", "default_payment_method", "description",
    "footer", "statement_descriptor",
)  # fmt: skip
_ZEROS: Final = (
    "amount_due", "amount_overpaid", "amount_paid", "amount_remaining", "amount_shipping",
    "attempt_count", "post_payment_credit_notes_amount", "pre_payment_credit_notes_amount",
    "starting_balance", "subtotal", "total",
)  # fmt: skip


def invoice_create(account: Account, given: Object) -> Object:
    if not (customer_id := given.get("customer")):
        raise missing("customer")
    customer = account.get("customer", customer_id, "customer")
    _check(account, given, given.get("collection_method", "charge_automatically"))
    now = account.now()
    invoice = account.new(
        stripe.Invoice, "in", **dict.fromkeys(_ZEROS, 0), customer=customer_id, attempted=False,
        currency=currency_of(given.get("currency") or customer["currency"] or "usd"),
        account_country="SE", account_name="Fakestripe", billing_reason="manual",
        automatic_tax={
            "disabled_reason": None, "enabled": False, "liability": None, "provider": None,
            "status": None,
        },
        issuer={"type": "self"}, lines={}, period_start=now, period_end=now, status="draft",
        payment_settings={
            "default_mandate": None, "payment_method_options": None, "payment_method_types": None,
        },
        status_transitions=dict.fromkeys(
            ("finalized_at", "marked_uncollectible_at", "paid_at", "voided_at")
        ),
        collection_method="charge_automatically", auto_advance=False,
        total_discount_amounts=[], total_pretax_credit_amounts=[], metadata={},
    )  # fmt: skip
    invoice |= {"_lines": [], "_payments": [], "_tries": 0}
    _fill(account, invoice, given)
    if given.get("pending_invoice_items_behavior") == "include":
        pending_take(account, invoice)
    totals_set(account, invoice)
    account.happened("invoice.created", account.put(invoice))
    if invoice["auto_advance"]:
        account.later(HOUR_S, "invoice_finalize", invoice)
    return invoice


def _check(account: Account, given: Object, method: str) -> None:
    is_due = "due_date" in given or "days_until_due" in given
    if method == "send_invoice" and not is_due:
        message = (
            "If invoice 'collection_method' is 'send_invoice', you must specify 'due_date' or "
            "'days_until_due' when creating the invoice."
        )
        raise invalid(message)
    if method == "charge_automatically" and is_due:
        message = "You can only specify a due date when the collection method is send_invoice."
        raise invalid(message, "due_date" if "due_date" in given else "days_until_due")
    if "due_date" in given and given["due_date"] <= account.now():
        raise invalid("Due date must be in the future.", "due_date")
    number = given.get("number")
    if number and any(one["number"] == number for one in account.store.all("invoice")):
        message = f"The invoice number {number} is already used by another invoice."
        raise invalid(message, "number")


def _fill(account: Account, invoice: Object, given: Object) -> None:
    for name in _PLAIN:
        if name in given:
            invoice[name] = None if given[name] == "" else given[name]
    if "default_tax_rates" in given:
        invoice["default_tax_rates"] = rates_of(account, given["default_tax_rates"] or ())
    if "metadata" in given:
        invoice["metadata"] = metadata_merged(invoice["metadata"], given["metadata"])
    if number := given.get("number"):
        invoice["number"] = number
    if "due_date" in given:
        invoice["due_date"] = given["due_date"]
    elif "days_until_due" in given:
        invoice["_days_until_due"] = given["days_until_due"]
        invoice["due_date"] = account.now() + given["days_until_due"] * DAY_S


def invoice_update(account: Account, given: Object, invoice_id: str) -> Object:
    """Once it is finalised, only what is no part of the document."""
    invoice = account.get("invoice", invoice_id)
    free = {"metadata", "auto_advance", "default_payment_method", "expand", "payment_settings"}
    if given.keys() - free:
        editable_check(invoice)
        _check(account, {"number": given.get("number")}, "")
    before = account.shown(invoice)
    _fill(account, invoice, given)
    if invoice["status"] == "draft":
        totals_set(account, invoice)
    account.happened("invoice.updated", account.put(invoice), before)
    return invoice


def invoice_delete(account: Account, given: Object, invoice_id: str) -> Object:
    invoice = account.get("invoice", invoice_id)
    if invoice["status"] != "draft":
        message = "You can only delete draft invoices. Finalized invoices can be voided instead."
        raise invalid(message)
    for item in account.store.all("invoiceitem"):
        if item["invoice"] == invoice_id:
            account.store.remove(item["id"])
    account.store.remove(invoice_id)
    account.happened("invoice.deleted", invoice)
    return {"id": invoice_id, "object": "invoice", "deleted": True}


# Finalising


def invoice_finalize(account: Account, given: Object, invoice_id: str) -> Object:
    invoice = account.get("invoice", invoice_id)
    if invoice["status"] != "draft":
        message = "This invoice is already finalized, you can't re-finalize a non-draft invoice."
        raise invalid(message, None, "invoice_not_editable")
    if not invoice["_lines"]:
        message = "You cannot finalize an invoice without any line items."
        raise invalid(message, None, "invoice_no_customer_line_items")
    invoice["auto_advance"] = given.get("auto_advance", invoice["auto_advance"])
    finalize(account, invoice)
    return invoice


def finalize(account: Account, invoice: Object) -> None:
    if invoice["status"] != "draft":
        return
    before = account.shown(invoice)
    _document(account, invoice)
    _balance_use(account, invoice)
    invoice |= {"status": "open", "attempted": False}
    account.happened("invoice.finalized", account.put(invoice))
    account.happened("invoice.updated", invoice, before)
    if invoice["amount_due"] == 0:
        paid(account, invoice)
        return
    _payment_open(account, invoice)
    if invoice["due_date"]:
        account.later(invoice["due_date"] - account.now(), "invoice_overdue", invoice)
    elif invoice["auto_advance"]:
        invoice["next_payment_attempt"] = account.now() + HOUR_S
        account.later(HOUR_S, "invoice_try", account.put(invoice))


def _document(account: Account, invoice: Object) -> None:
    now = account.now()
    customer = account.get("customer", invoice["customer"])
    if not invoice["number"]:
        invoice["number"] = f"{customer['invoice_prefix']}-{customer['next_invoice_sequence']:04}"
        customer["next_invoice_sequence"] += 1
    customer["currency"] = customer["currency"] or invoice["currency"]
    account.put(customer)
    tax_ids = [one for one in account.store.all("tax_id") if one["customer"] == customer["id"]]
    page = f"{account.url}/invoice/{invoice['id']}"
    invoice |= {
        "customer_address": customer["address"], "customer_email": customer["email"],
        "customer_name": customer["name"], "customer_phone": customer["phone"],
        "customer_tax_exempt": customer["tax_exempt"], "effective_at": now,
        "customer_tax_ids": [{name: one[name] for name in ("type", "value")} for one in tax_ids],
        "hosted_invoice_url": page, "invoice_pdf": f"{page}/pdf",
    }  # fmt: skip
    invoice["status_transitions"] |= {"finalized_at": now}
    if "_days_until_due" in invoice:
        invoice["due_date"] = now + invoice["_days_until_due"] * DAY_S


def _balance_use(account: Account, invoice: Object) -> None:
    """What credit notes left to the customer is used first."""
    customer = account.get("customer", invoice["customer"])
    used = min(max(0, -customer["balance"]), invoice["amount_due"])
    invoice |= {
        "starting_balance": customer["balance"],
        "ending_balance": customer["balance"] + used,
    }
    invoice["amount_due"] -= used
    invoice["amount_remaining"] = invoice["amount_due"]
    account.put(customer | {"balance": customer["balance"] + used})


def _payment_open(account: Account, invoice: Object) -> None:
    """A payment intent for what is due, and the payment that ties it to the invoice."""
    if invoice["amount_due"] < LEAST[invoice["currency"]]:
        return
    given = {"customer": invoice["customer"], "description": "Payment for Invoice"}
    intent = intent_new(account, invoice["amount_due"], invoice["currency"], given)
    intent["_invoice"] = invoice["id"]
    intent["payment_details"] = {"customer_reference": None, "order_reference": invoice["id"]}
    account.put(intent)
    payment = made(
        stripe.InvoicePayment, id=account.new_id("inpay"), created=account.now(), is_default=True,
        amount_requested=invoice["amount_due"], currency=invoice["currency"], status="open",
        invoice=invoice["id"], payment={"payment_intent": intent["id"], "type": "payment_intent"},
        status_transitions={"canceled_at": None, "paid_at": None},
    )  # fmt: skip
    invoice["_payments"].append(account.put(payment)["id"])
    account.put(invoice)


# Paying


def invoice_pay(account: Account, given: Object, invoice_id: str) -> Object:
    invoice = account.get("invoice", invoice_id)
    if invoice["status"] == "draft":
        finalize(account, invoice)
    if invoice["status"] == "paid":
        raise invalid("Invoice is already paid", None, "invoice_already_paid")
    if invoice["status"] == "void":
        raise invalid("This invoice can't be paid because it was voided.", None, "invoice_voided")
    if given.get("paid_out_of_band"):
        invoice["amount_paid_off_stripe"] = invoice["amount_remaining"]
        paid(account, invoice)
        return invoice
    charge_now(account, invoice, given.get("payment_method"))
    return invoice


def charge_now(
    account: Account, invoice: Object, method_id: str | None = None, *, is_page: bool = False
) -> Object:
    """Charge the card; the intent, which on a page may ask for 3-D Secure.

    Raises Refusal: with 402 when the card is refused, what was tried kept.
    """
    if invoice["status"] not in ("open", "uncollectible"):
        raise unexpected("pay", invoice, "invoice_not_open")
    method = method_find(account, method_id or _default_of(account, invoice), "payment_method")
    intent = intent_of(account, invoice)
    intent |= {"payment_method": method["id"], "amount": invoice["amount_remaining"]}
    invoice |= {"attempted": True, "attempt_count": invoice["attempt_count"] + 1}
    account.put(invoice)
    try:
        confirm(account, account.put(intent), {"off_session": not is_page})
    except Refusal:
        account.happened("invoice.payment_failed", invoice)
        raise
    if intent["status"] == "succeeded":
        paid(account, invoice)
    return intent


def _default_of(account: Account, invoice: Object) -> str:
    settings = account.get("customer", invoice["customer"])["invoice_settings"]
    chosen = invoice["default_payment_method"] or settings["default_payment_method"]
    if not chosen:
        message = (
            "There is no `default_payment_method` set on this Customer or Invoice. Please set "
            "either, or provide a payment method."
        )
        raise invalid(message, None, "missing")
    return str(chosen)


def intent_of(account: Account, invoice: Object) -> Object:
    payment = account.get("invoice_payment", invoice["_payments"][-1])
    return account.get("payment_intent", payment["payment"]["payment_intent"])


def paid(account: Account, invoice: Object) -> None:
    before = account.shown(invoice)
    amount = invoice["amount_remaining"]
    off_stripe = invoice["amount_paid_off_stripe"] is not None
    invoice |= {"status": "paid", "amount_remaining": 0, "next_payment_attempt": None}
    invoice["amount_paid"] += 0 if off_stripe else amount
    invoice["attempted"] = True
    invoice["status_transitions"]["paid_at"] = account.now()
    _payments_end(account, invoice, None if off_stripe else amount)
    account.put(invoice)
    account.happened("invoice.updated", invoice, before)
    account.happened("invoice.paid", invoice)
    account.happened("invoice.payment_succeeded", invoice)


def _payments_end(account: Account, invoice: Object, amount: int | None) -> None:
    """Paid when its intent was, cancelled when the invoice needs it no more."""
    for payment_id in invoice["_payments"]:
        payment = account.get("invoice_payment", payment_id)
        intent = account.get("payment_intent", payment["payment"]["payment_intent"])
        is_paid = intent["status"] == "succeeded"
        if not is_paid and intent["status"] != "canceled":
            intent_end(account, intent, "void_invoice" if amount is None else "automatic")
        times = payment["status_transitions"] | {
            "paid_at" if is_paid else "canceled_at": account.now()
        }
        status = {"status": "paid" if is_paid else "canceled", "status_transitions": times}
        account.put(payment | status | {"amount_paid": amount if is_paid else None})
        if is_paid:
            account.happened("invoice_payment.paid", account.get("invoice_payment", payment_id))


def invoice_void(account: Account, given: Object, invoice_id: str) -> Object:
    return _end(account, invoice_id, ("open", "uncollectible"), "void", "voided")


def invoice_mark_uncollectible(account: Account, given: Object, invoice_id: str) -> Object:
    return _end(account, invoice_id, ("open",), "uncollectible", "marked_uncollectible")


def _end(
    account: Account, invoice_id: str, allowed: tuple[str, ...], status: str, event: str
) -> Object:
    invoice = account.get("invoice", invoice_id)
    if invoice["status"] not in allowed:
        what = "void" if status == "void" else "mark as uncollectible"
        raise unexpected(what, invoice, "status_transition_invalid")
    before = account.shown(invoice)
    invoice |= {"status": status, "next_payment_attempt": None, "auto_advance": False}
    invoice["status_transitions"][f"{event}_at"] = account.now()
    if status == "void":
        invoice["amount_remaining"] = invoice["amount_due"]
        _payments_end(account, invoice, None)
    account.happened("invoice.updated", account.put(invoice), before)
    account.happened(f"invoice.{event}", invoice)
    return invoice


def invoice_send(account: Account, given: Object, invoice_id: str) -> Object:
    invoice = account.get("invoice", invoice_id)
    if invoice["collection_method"] != "send_invoice":
        message = "You can only send an invoice whose collection method is send_invoice."
        raise invalid(message)
    if invoice["status"] == "draft":
        finalize(account, invoice)
    account.happened("invoice.sent", invoice)
    return invoice


# What happens by itself


def try_again(account: Account, invoice: Object) -> None:
    """Charge the card, and after a refusal some days later again."""
    if invoice["status"] != "open" or not invoice["_payments"]:
        return
    try:
        charge_now(account, invoice)
    except Refusal:
        tries = invoice["_tries"]
        invoice["_tries"] = tries + 1
        invoice["next_payment_attempt"] = None
        if tries < len(RETRY_DAYS):
            after_s = RETRY_DAYS[tries] * DAY_S
            invoice["next_payment_attempt"] = account.now() + after_s
            account.later(after_s, "invoice_try", invoice)
        account.put(invoice)


def overdue(account: Account, invoice: Object) -> None:
    if invoice["status"] == "open":
        account.happened("invoice.overdue", invoice)


ACTS: Final[dict[str, Any]] = {
    "invoice_finalize": finalize, "invoice_overdue": overdue, "invoice_try": try_again,
}  # fmt: skip
