"""The hosted pages: Checkout, an invoice, the bank's 3-D Secure and the Customer Portal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path
from string import Template
from typing import Final
from urllib.parse import urlsplit

from console.fakestripe import customers
from console.fakestripe.fake import FakeStripe
from console.fakestripe.http import Object, Refusal, Response
from console.fakestripe.objects import address_of

_FOLDER: Final = Path(__file__).parent / "pages"
_TEMPLATES: Final = {file.stem: Template(file.read_text()) for file in _FOLDER.glob("*.html")}
_STYLE: Final = (_FOLDER / "page.css").read_bytes()
_POLICY: Final = (
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; "
    "frame-ancestors 'none'; form-action 'self'"
)

Fields = Mapping[str, str]


def hosted(fake: FakeStripe, method: str, path: str, fields: Fields) -> Response | None:
    """The answer to a browser; None when there is no such page."""
    if path == "/page.css":
        return Response(200, _STYLE, {"content-type": "text/css; charset=utf-8"})
    kind, _, wanted = path.strip("/").partition("/")
    page = _PAGES.get(kind)
    thing = fake.account.store.find(wanted)
    if page is None or thing is None or thing["object"] != page[0]:
        return None
    return page[1](fake, thing, fields if method == "POST" else None)


def _checkout(fake: FakeStripe, session: Object, fields: Fields | None) -> Response:
    if session["status"] != "open":
        return _over(session)
    message = ""
    if fields is not None:
        try:
            answer = fake.pay(f"/{session['id']}", fields.get("number", ""), **_details(fields))
            return _onward(_bank_of(answer) or _success(session))
        except Refusal as refusal:
            message = str(refusal)
    return _payment_page(fake, session, message)


def _bank_of(answer: Object) -> str:
    """Where the bank asks, if it does."""
    action = answer.get("next_action")
    return str(action["redirect_to_url"]["url"]) if action else ""


def _success(session: Object) -> str:
    return str(session["success_url"]).replace("{CHECKOUT_SESSION_ID}", session["id"])


def _details(fields: Fields) -> Object:
    country = fields.get("country", "").upper()
    return {"name": fields.get("name") or None, "address": address_of({"country": country})}


def _payment_page(fake: FakeStripe, session: Object, message: str) -> Response:
    customer = fake.account.store.find(session["customer"] or "") or {}
    is_payment = session["mode"] == "payment"
    lines = ((one["description"], _money(one["amount_total"], one)) for one in session["_lines"])
    return _page(
        "pay", "Pay" if is_payment else "Save a card", _origin(session["success_url"]),
        amount=_money(session["amount_total"], session) if is_payment else "",
        lines=_rows(lines), message=_bad(message), name=escape(customer.get("name") or ""),
        country=escape((customer.get("address") or {}).get("country") or "SE"),
        action="Pay" if is_payment else "Save", leave=_leave(session["cancel_url"], "Go back"),
    )  # fmt: skip


def _over(session: Object) -> Response:
    if session["status"] == "complete":
        return _onward(_success(session))
    back = _leave(session["cancel_url"], "Go back")
    return _whole("This page has expired", f"<p>Nothing was paid.</p>{back}")


def _invoice(fake: FakeStripe, invoice: Object, fields: Fields | None) -> Response:
    if fields is not None and invoice["status"] == "open":
        try:
            answer = fake.pay(f"/{invoice['id']}", fields.get("number", ""))
        except Refusal as refusal:
            return _invoice_page(invoice, str(refusal))
        return _onward(_bank_of(answer) or f"/invoice/{invoice['id']}")
    if invoice["status"] != "open":
        text = f"<p>It is {escape(str(invoice['status']))}.</p>"
        return _whole(f"Invoice {invoice['number']}", text)
    return _invoice_page(invoice, "")


def _invoice_page(invoice: Object, message: str) -> Response:
    lines = ((one["description"], _money(one["amount"], one)) for one in invoice["_lines"])
    return _page(
        "pay", f"Invoice {invoice['number']}", "", message=_bad(message), action="Pay", leave="",
        amount=_money(invoice["amount_remaining"], invoice), lines=_rows(lines),
        name=escape(invoice["customer_name"] or ""), country="SE",
    )  # fmt: skip


def _authenticate(fake: FakeStripe, intent: Object, fields: Fields | None) -> Response:
    if intent["status"] != "requires_action":
        return _whole("Your bank", "<p>There is nothing to confirm any more.</p>")
    session = fake.account.store.find(intent.get("_session", ""))
    shop = (
        intent["next_action"]["redirect_to_url"]["return_url"]
        or f"{fake.account.url}/invoice/{intent.get('_invoice', '')}"
    )
    if fields is None:
        method = fake.account.get("payment_method", intent["payment_method"])
        return _page(
            "authenticate", "Your bank", _origin(shop), amount=_money(intent["amount"], intent),
            last4=method["card"]["last4"],
        )  # fmt: skip
    try:
        fake.authenticate(f"/{intent['id']}", is_holder=fields.get("answer") == "yes")
    except Refusal as refusal:
        if session:
            return _payment_page(fake, session, str(refusal))
    return _onward(_success(session) if session else shop)


def _portal(fake: FakeStripe, session: Object, fields: Fields | None) -> Response:
    message = ""
    customer_id = session["customer"]
    if fields is not None:
        try:
            fake.change(lambda: _portal_do(fake, customer_id, fields))
            return _onward(f"/portal/{session['id']}")
        except Refusal as refusal:
            message = str(refusal)
    return _portal_page(fake, session, message)


def _portal_do(fake: FakeStripe, customer_id: str, fields: Fields) -> None:
    account = fake.account
    match fields.get("act"):
        case "add":
            method = customers.method_by_number(account, fields.get("number", ""))
            if method is None:
                raise Refusal(400, "card_error", "Your card number is not one of a test card.")
            method["_is_set_up"] = True
            customers.method_attach(account, {"customer": customer_id}, method["id"])
            _use(fake, customer_id, method["id"])
        case "use":
            _use(fake, customer_id, fields["card"])
        case "remove":
            customers.method_detach(account, {}, fields["card"])
        case "tax_id":
            tax_id = {"type": "eu_vat", "value": fields.get("value", "").upper()}
            customers.tax_id_create(account, tax_id, customer_id)
        case "remove_tax_id":
            customers.tax_id_delete(account, {}, customer_id, fields["tax_id"])


def _use(fake: FakeStripe, customer_id: str, method_id: str) -> None:
    settings = {"invoice_settings": {"default_payment_method": method_id}}
    customers.customer_update(fake.account, settings, customer_id)


def _portal_page(fake: FakeStripe, session: Object, message: str) -> Response:
    account, customer_id = fake.account, session["customer"]
    customer = account.get("customer", customer_id)
    default = customer["invoice_settings"]["default_payment_method"]
    cards = (_card_row(one, default) for one in customers.methods_of(account, customer_id))
    tax_ids = (
        _row(one["value"], _button("remove_tax_id", "Remove", "tax_id", one["id"]))
        for one in account.store.all("tax_id")
        if one["customer"] == customer_id
    )
    invoices = (
        _row(one["number"], escape(f"{_money(one['total'], one)} · {one['status']}"))
        for one in account.store.all("invoice")
        if one["customer"] == customer_id and one["number"]
    )
    return _page(
        "portal", customer["name"] or "Your payments", _origin(session["return_url"] or ""),
        message=_bad(message), cards="".join(cards), tax_ids="".join(tax_ids),
        invoices="".join(invoices), leave=_leave(session["return_url"], "Go back"),
    )  # fmt: skip


def _card_row(method: Object, default: str | None) -> str:
    card = method["card"]
    name = f"{card['brand'].capitalize()} that ends in {card['last4']}"
    if method["id"] == default:
        name += " · in use"
    buttons = [("use", "Use")] if method["id"] != default else []
    forms = (
        _button(act, text, "card", method["id"]) for act, text in [*buttons, ("remove", "Remove")]
    )
    return _row(name, "".join(forms))


# The parts of pages


def _page(template: str, title: str, shop: str, /, **parts: str) -> Response:
    return _whole(title, _TEMPLATES[template].substitute(parts), shop)


def _whole(title: str, content: str, shop: str = "") -> Response:
    """`shop` is where a form's answer may lead."""
    text = _TEMPLATES["page"].substitute(title=escape(title), content=content)
    policy = f"{_POLICY} {shop}".rstrip()
    return Response(
        200, text.encode(),
        {
            "content-type": "text/html; charset=utf-8", "content-security-policy": policy,
            "referrer-policy": "no-referrer", "cache-control": "no-store",
            "x-content-type-options": "nosniff",
        },
    )  # fmt: skip


def _onward(url: str) -> Response:
    return Response(303, b"", {"location": url})


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else ""


def _money(cents: int, of: Object) -> str:
    return f"{cents / 100:,.2f} {of['currency'].upper()}"


def _rows(rows: Iterable[tuple[str | None, str]]) -> str:
    return "".join(_row(name or "", escape(value)) for name, value in rows)


def _row(name: str, html: str) -> str:
    return f"<li><span>{escape(name)}</span><span>{html}</span></li>"


def _button(act: str, text: str, name: str, value: str) -> str:
    return (
        f'<form method="post"><input type="hidden" name="{name}" value="{escape(value)}">'
        f'<button name="act" value="{act}">{text}</button></form>'
    )


def _bad(message: str) -> str:
    return f'<p class="bad" role="alert">{escape(message)}</p>' if message else ""


def _leave(url: str | None, text: str) -> str:
    return f'<p><a href="{escape(url)}">{text}</a></p>' if url else ""


_PAGES: Final = {
    "checkout": ("checkout.session", _checkout),
    "invoice": ("invoice", _invoice),
    "authenticate": ("payment_intent", _authenticate),
    "portal": ("billing_portal.session", _portal),
}
