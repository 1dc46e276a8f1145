"""Credit notes: of what is still to pay, or of what was paid."""

from __future__ import annotations

import stripe

from console.fakestripe.account import Account
from console.fakestripe.http import Object, invalid
from console.fakestripe.invoices import intent_of, paid
from console.fakestripe.objects import made, metadata_merged, page
from console.fakestripe.refunds import refund_new
from console.fakestripe.taxes import Amount, rates_of, summed, taxed


def note_create(account: Account, given: Object) -> Object:
    invoice = account.get("invoice", given["invoice"], "invoice")
    if invoice["status"] not in ("open", "paid", "uncollectible"):
        message = (
            "Credit notes can only be created for invoices that are open, paid or uncollectible; "
            f"this one is {invoice['status']}."
        )
        raise invalid(message, "invoice")
    lines = _lines(account, invoice, given)
    net = sum(line["amount"] for line in lines)
    taxes = summed(tax for line in lines for tax in line["taxes"])
    amount = Amount(net, sum(tax["amount"] for tax in taxes), taxes)
    left = _limit_check(account, invoice, amount.gross)
    parts = _parts(given, amount.gross, left)
    note = _note_new(account, invoice, given, amount, lines, parts)
    _apply(account, invoice, note, given)
    account.happened("credit_note.created", account.put(note))
    return note


def _lines(account: Account, invoice: Object, given: Object) -> list[Object]:
    if ("amount" in given) == ("lines" in given):
        raise invalid("You must provide exactly one of these parameters: amount, lines.")
    if "amount" in given:
        return [_line(account, {"type": "custom_line_item", "amount": given["amount"]}, None, [])]
    known = {line["id"]: line for line in invoice["_lines"]}
    made_lines = []
    for position, line in enumerate(given["lines"]):
        of = known.get(line.get("invoice_line_item", ""))
        if line["type"] == "invoice_line_item" and of is None:
            message = "No such invoice line item."
            raise invalid(message, f"lines[{position}][invoice_line_item]", "resource_missing")
        rates = [tax["tax_rate_details"]["tax_rate"] for tax in of["taxes"]] if of else []
        made_lines.append(_line(account, line, of, line.get("tax_rates") or rates))
    return made_lines


def _line(account: Account, given: Object, of: Object | None, rates: list[str]) -> Object:
    quantity = given.get("quantity")
    unit = given.get("unit_amount")
    amount = given.get("amount", (quantity or 1) * unit if unit is not None else None)
    if amount is None:
        amount = of["amount"] if of else 0
    if amount < 0:
        raise invalid("Invalid non-negative integer", "lines[amount]")
    return made(
        stripe.CreditNoteLineItem, id=account.new_id("cnli"), amount=amount, discount_amount=0,
        description=given.get("description") or (of or {}).get("description"), quantity=quantity,
        invoice_line_item=of and of["id"], type=given["type"], unit_amount=unit,
        taxes=list(taxed(amount, rates_of(account, rates)).taxes), metadata={},
    )  # fmt: skip


def _limit_check(account: Account, invoice: Object, amount: int) -> int:
    """What is still to pay of the invoice. Raises Refusal for more than is left to credit."""
    credited = sum(one["total"] for one in _issued(account, invoice))
    left = invoice["amount_remaining"] if invoice["status"] != "paid" else 0
    most = left or invoice["total"] - credited
    if amount < 1:
        raise invalid("The credit note amount must be greater than zero.", "amount")
    if amount > most:
        message = (
            f"The sum of credit notes, {(credited + amount) / 100:.2f} {invoice['currency']}, "
            f"cannot be more than what is left of the invoice, {most / 100:.2f}."
        )
        raise invalid(message, "amount")
    return int(left)


def _issued(account: Account, invoice: Object) -> list[Object]:
    notes = account.store.all("credit_note")
    return [one for one in notes if one["invoice"] == invoice["id"] and one["status"] == "issued"]


def _parts(given: Object, amount: int, left: int) -> Object:
    """How a credit note of a paid invoice is paid back; nothing of one that is to be paid."""
    names = ("refund_amount", "credit_amount", "out_of_band_amount")
    parts = {name: given.get(name, 0) for name in names}
    refunds = sum(one.get("amount_refunded", 0) for one in given.get("refunds", ()))
    total = sum(parts.values()) + refunds
    if left and total:
        raise invalid("Only credit notes of paid invoices can be refunded or credited.")
    if not left and total != amount:
        message = (
            f"The sum of credit amount, refund amount and out of band amount ({total / 100:.2f}) "
            f"must equal the credit note amount ({amount / 100:.2f})."
        )
        raise invalid(message)
    return parts


def _note_new(
    account: Account, invoice: Object, given: Object, amount: Amount, lines: list[Object],
    parts: Object,
) -> Object:  # fmt: skip
    is_open = invoice["status"] != "paid"
    count = sum(one["invoice"] == invoice["id"] for one in account.store.all("credit_note"))
    note = account.new(
        stripe.CreditNote, "cn", amount=amount.gross, amount_shipping=0, discount_amount=0,
        currency=invoice["currency"], customer=invoice["customer"], invoice=invoice["id"],
        effective_at=given.get("effective_at", account.now()), lines={}, memo=given.get("memo"),
        metadata=metadata_merged({}, given.get("metadata")), reason=given.get("reason"),
        number=f"{invoice['number']}-CN-{count + 1:02}", pdf="", status="issued",
        out_of_band_amount=parts["out_of_band_amount"] or None,
        post_payment_amount=0 if is_open else amount.gross,
        pre_payment_amount=amount.gross if is_open else 0,
        subtotal=amount.net, subtotal_excluding_tax=amount.net, total=amount.gross,
        total_excluding_tax=amount.net, total_taxes=list(amount.taxes),
        type="pre_payment" if is_open else "post_payment",
    )  # fmt: skip
    note["pdf"] = f"{account.url}/credit_note/{note['id']}/pdf"
    note["lines"] = page(lines, f"/v1/credit_notes/{note['id']}/lines")
    note["_parts"] = parts
    return note


def _apply(account: Account, invoice: Object, note: Object, given: Object) -> None:
    before = account.shown(invoice)
    if note["pre_payment_amount"]:
        _remaining_change(invoice, note["total"])
        if invoice["amount_remaining"] == 0:
            paid(account, account.put(invoice))
    else:
        invoice["post_payment_credit_notes_amount"] += note["total"]
        _pay_back(account, invoice, note, given)
    account.happened("invoice.updated", account.put(invoice), before)


def _remaining_change(invoice: Object, amount: int) -> None:
    invoice["pre_payment_credit_notes_amount"] += amount
    invoice["amount_remaining"] -= amount
    invoice["amount_due"] -= amount


def _pay_back(account: Account, invoice: Object, note: Object, given: Object) -> None:
    if credit := note["_parts"]["credit_amount"]:
        customer = account.get("customer", invoice["customer"])
        account.put(customer | {"balance": customer["balance"] - credit})
    refunds = [
        {"amount_refunded": one.get("amount_refunded", 0), "refund": one.get("refund")}
        for one in given.get("refunds", ())
    ]
    if amount := note["_parts"]["refund_amount"]:
        if not invoice["_payments"]:
            raise invalid("There is no charge of this invoice to refund.", "refund_amount")
        charge = account.get("charge", intent_of(account, invoice)["latest_charge"])
        refund = refund_new(account, charge, amount, {})
        refunds.append({"amount_refunded": amount, "refund": refund["id"]})
    note["refunds"] = [one | {"type": "refund", "payment_record_refund": None} for one in refunds]


def note_update(account: Account, given: Object, note_id: str) -> Object:
    note = account.get("credit_note", note_id)
    before = account.shown(note)
    note["memo"] = given.get("memo", note["memo"])
    note["metadata"] = metadata_merged(note["metadata"], given.get("metadata"))
    account.happened("credit_note.updated", account.put(note), before)
    return note


def note_void(account: Account, given: Object, note_id: str) -> Object:
    """Only while its invoice is open."""
    note = account.get("credit_note", note_id)
    invoice = account.get("invoice", note["invoice"])
    if note["status"] != "issued" or invoice["status"] != "open":
        message = "You can only void a credit note that was issued for an open invoice."
        raise invalid(message)
    before = account.shown(invoice)
    _remaining_change(invoice, -note["total"])
    note |= {"status": "void", "voided_at": account.now()}
    account.happened("invoice.updated", account.put(invoice), before)
    account.happened("credit_note.voided", account.put(note))
    return note
