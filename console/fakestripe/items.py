"""Invoice items, and the lines that they make on invoices."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import Final

import stripe

from console.fakestripe.account import Account, currency_of
from console.fakestripe.http import Object, invalid, missing
from console.fakestripe.objects import made, metadata_merged, page
from console.fakestripe.taxes import Amount, rates_of, summed, taxed

MOST_ITEMS: Final = 250
SHOWN_LINES: Final = 10
"""So many lines an invoice itself shows; the others are asked for."""


def item_create(account: Account, given: Object) -> Object:
    if not (customer := given.get("customer")):
        raise missing("customer")
    customer_currency = account.get("customer", customer, "customer")["currency"]
    invoice = _invoice_of(account, given.get("invoice"), customer)
    amount, quantity, unit = _amount(given)
    currency = currency_of(
        given.get("currency") or (invoice or {}).get("currency") or customer_currency or "usd"
    )
    if invoice and invoice["currency"] != currency:
        message = (
            f"You cannot add an item with currency `{currency}` to an invoice with currency "
            f"`{invoice['currency']}`."
        )
        raise invalid(message, "currency")
    item = _item_new(account, given, amount=amount, currency=currency, quantity=quantity, unit=unit)
    account.happened("invoiceitem.created", item)
    if invoice:
        lines_change(account, invoice, [*invoice["_lines"], _line(item, account)])
    return item


def _item_new(
    account: Account, given: Object, *, amount: int, currency: str, quantity: Decimal, unit: str
) -> Object:
    now = account.now()
    pricing = {"price_details": None, "type": "price_details", "unit_amount_decimal": unit}
    return account.put(
        made(
            stripe.InvoiceItem, id=account.new_id("ii"), amount=amount, net_amount=amount,
            currency=currency, customer=given["customer"], date=now, pricing=pricing,
            description=given.get("description"), discountable=given.get("discountable", True),
            invoice=given.get("invoice"), quantity=int(quantity), quantity_decimal=str(quantity),
            metadata=metadata_merged({}, given.get("metadata")), proration=False, discounts=[],
            period=given.get("period") or {"start": now, "end": now},
            tax_rates=rates_of(account, given.get("tax_rates")),
        )
    )  # fmt: skip


def _amount(given: Object) -> tuple[int, Decimal, str]:
    """Cents, the quantity, and the price of one."""
    if "amount" in given:
        if "quantity" in given or "unit_amount_decimal" in given:
            message = "You may only specify one of these parameters: amount, unit_amount_decimal."
            raise invalid(message)
        return given["amount"], Decimal(1), str(given["amount"])
    if "unit_amount_decimal" not in given:
        raise invalid("You must provide one of these parameters: amount, price_data, pricing.")
    unit: Decimal = given["unit_amount_decimal"]
    if unit != round(unit, 12):
        message = "Invalid decimal: at most 12 decimal places are allowed."
        raise invalid(message, "unit_amount_decimal")
    quantity = Decimal(given.get("quantity_decimal") or given.get("quantity", 1))
    amount = int((unit * quantity).quantize(Decimal(1), ROUND_HALF_UP))
    return amount, quantity, str(unit)


def _invoice_of(account: Account, invoice_id: str | None, customer: str) -> Object | None:
    if not invoice_id:
        return None
    invoice = account.get("invoice", invoice_id, "invoice")
    if invoice["customer"] != customer:
        raise invalid("The invoice does not belong to the customer.", "invoice")
    editable_check(invoice)
    if len(invoice["_lines"]) >= MOST_ITEMS:
        raise invalid(f"You can only add up to {MOST_ITEMS} items to an invoice.", "invoice")
    return invoice


def editable_check(invoice: Object) -> None:
    if invoice["status"] != "draft":
        message = "This invoice is no longer editable."
        raise invalid(message, "invoice", "invoice_not_editable")


def _line(item: Object, account: Account) -> Object:
    return made(
        stripe.InvoiceLineItem, id=account.new_id("il"), amount=item["amount"],
        currency=item["currency"], description=item["description"], invoice=item["invoice"],
        discountable=item["discountable"], metadata=dict(item["metadata"]),
        period=item["period"], quantity=item["quantity"], subtotal=item["amount"],
        quantity_decimal=item["quantity_decimal"], pricing=item["pricing"],
        taxes=list(_taxed(item, account, []).taxes), discount_amounts=[], pretax_credit_amounts=[],
        parent={
            "invoice_item_details": {
                "invoice_item": item["id"], "proration": False, "proration_details": None,
                "subscription": None,
            },
            "subscription_item_details": None, "type": "invoice_item_details",
        },
    )  # fmt: skip


def _taxed(item: Object, account: Account, default: list[str]) -> Amount:
    rates = item["tax_rates"] or rates_of(account, default)
    return taxed(item["amount"], rates)


def pending_take(account: Account, invoice: Object) -> None:
    """Put the customer's items that are on no invoice onto this one, the newest first."""
    pending = [
        item
        for item in account.store.all("invoiceitem")
        if item["customer"] == invoice["customer"] and item["invoice"] is None
        if item["currency"] == invoice["currency"]
    ]
    for item in pending:
        account.put(item | {"invoice": invoice["id"]})
    taken = [_line(item | {"invoice": invoice["id"]}, account) for item in reversed(pending)]
    invoice["_lines"] = taken


def lines_change(account: Account, invoice: Object, lines: list[Object]) -> None:
    before = account.shown(invoice)
    invoice["_lines"] = lines
    totals_set(account, invoice)
    account.happened("invoice.updated", account.put(invoice), before)


def totals_set(account: Account, invoice: Object) -> None:
    """Sums of the lines, as they are; a draft's default taxes included."""
    default = [rate["id"] for rate in invoice["default_tax_rates"]]
    for line in invoice["_lines"]:
        item = account.get("invoiceitem", item_of(line))
        line["taxes"] = list(_taxed(item, account, default).taxes)
    _sum(invoice)
    invoice["lines"] = lines_shown(invoice)


def _sum(invoice: Object) -> None:
    lines = invoice["_lines"]
    taxes = summed(tax for line in lines for tax in line["taxes"])
    subtotal = sum(line["amount"] for line in lines)
    inclusive = sum(tax["amount"] for tax in taxes if tax["tax_behavior"] == "inclusive")
    exclusive = sum(tax["amount"] for tax in taxes if tax["tax_behavior"] == "exclusive")
    total = subtotal + exclusive
    invoice |= {
        "subtotal": subtotal, "subtotal_excluding_tax": subtotal - inclusive, "total": total,
        "total_excluding_tax": subtotal - inclusive, "total_taxes": taxes,
        "amount_due": max(0, total), "amount_remaining": max(0, total), "amount_paid": 0,
    }  # fmt: skip


def item_of(line: Object) -> str:
    return str(line["parent"]["invoice_item_details"]["invoice_item"])


def lines_shown(invoice: Object) -> Object:
    lines = invoice["_lines"]
    url = f"/v1/invoices/{invoice['id']}/lines"
    shown = page(lines[:SHOWN_LINES], url, has_more=len(lines) > SHOWN_LINES)
    return shown | {"total_count": len(lines)}


def item_update(account: Account, given: Object, item_id: str) -> Object:
    item = account.get("invoiceitem", item_id)
    invoice = _draft_of(account, item)
    before = account.shown(item)
    if "amount" in given:
        unit = item["pricing"] | {"unit_amount_decimal": str(given["amount"])}
        item |= {"amount": given["amount"], "net_amount": given["amount"], "pricing": unit}
    item |= {name: given[name] for name in ("description", "period") if name in given}
    item["metadata"] = metadata_merged(item["metadata"], given.get("metadata"))
    account.happened("invoiceitem.updated", account.put(item), before)
    if invoice:
        lines = [
            _line(item, account) | {"id": line["id"]} if item_of(line) == item_id else line
            for line in invoice["_lines"]
        ]
        lines_change(account, invoice, lines)
    return item


def item_delete(account: Account, given: Object, item_id: str) -> Object:
    item = account.get("invoiceitem", item_id)
    invoice = _draft_of(account, item)
    account.store.remove(item_id)
    account.happened("invoiceitem.deleted", item)
    if invoice:
        left = [line for line in invoice["_lines"] if item_of(line) != item_id]
        lines_change(account, invoice, left)
    return {"id": item_id, "object": "invoiceitem", "deleted": True}


def _draft_of(account: Account, item: Object) -> Object | None:
    if not item["invoice"]:
        return None
    invoice = account.get("invoice", item["invoice"])
    editable_check(invoice)
    return invoice
