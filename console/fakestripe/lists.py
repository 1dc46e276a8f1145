"""Lists with pages and filters, and the expansion of ids to objects."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from console.fakestripe.account import Account
from console.fakestripe.customers import methods_of
from console.fakestripe.http import Object, invalid, no_such
from console.fakestripe.invoices import intent_of
from console.fakestripe.objects import page

PAGE, LARGEST_PAGE = 10, 100
DEEPEST: Final = 4
_PAGING: Final = {"limit", "starting_after", "ending_before", "expand"}


def listed(account: Account, things: Iterable[Object], given: Object, url: str) -> Object:
    """The newest first; `things` come with the oldest first. Raises Refusal."""
    ordered = [thing for thing in things if _fits(thing, given)][::-1]
    return paged([account.shown(thing) for thing in ordered], given, url)


def paged(ordered: list[Object], given: Object, url: str) -> Object:
    limit = given.get("limit", PAGE)
    if not 1 <= limit <= LARGEST_PAGE:
        message = f"This value must be between 1 and {LARGEST_PAGE}."
        raise invalid(message, "limit", "parameter_invalid_integer")
    if last := given.get("ending_before"):
        before = ordered[: _position(ordered, last, "ending_before")]
        return page(before[-limit:], url, has_more=len(before) > limit)
    start = 0
    if first := given.get("starting_after"):
        start = _position(ordered, first, "starting_after") + 1
    rest = ordered[start:]
    return page(rest[:limit], url, has_more=len(rest) > limit)


def _position(ordered: list[Object], wanted: str, param: str) -> int:
    for position, thing in enumerate(ordered):
        if thing["id"] == wanted:
            return position
    raise no_such("object", wanted, param)


def _fits(thing: Object, given: Object) -> bool:
    """Whether each filter has its value: `created` may be a range."""
    filters = {name: value for name, value in given.items() if name not in _PAGING}
    if isinstance(created := filters.pop("created", None), dict):
        if not all(_COMPARE[name](_made_at(thing), than) for name, than in created.items()):
            return False
    elif created is not None and _made_at(thing) != created:
        return False
    if types := filters.pop("types", None):
        filters.setdefault("type", thing["type"] if thing["type"] in types else "")
    return all(_has(thing, name, value) for name, value in filters.items())


def _made_at(thing: Object) -> int:
    """Invoice items have a date in place of a time of creation."""
    return int(thing["created"] if "created" in thing else thing["date"])


_COMPARE: Final[dict[str, Callable[[int, int], bool]]] = {
    "gt": lambda left, right: left > right,
    "gte": lambda left, right: left >= right,
    "lt": lambda left, right: left < right,
    "lte": lambda left, right: left <= right,
}


def _has(thing: Object, name: str, value: Any) -> bool:
    if name == "pending":
        return bool((thing["invoice"] is None) == value)
    if name == "delivery_success":
        return bool((thing["pending_webhooks"] == 0) == value)
    if isinstance(value, dict):
        return all(thing[name].get(part) == wanted for part, wanted in value.items())
    if isinstance(value, str) and value.endswith(".*"):
        return str(thing[name]).startswith(value[:-1])
    return bool(thing.get(name) == value)


# Expansion


def expanded(account: Account, answer: Object, paths: Iterable[str]) -> Object:
    """`answer` with the objects of `paths` in place of their ids. Raises Refusal."""
    for path in paths:
        names = path.split(".")
        if len(names) > DEEPEST + (names[0] == "data"):
            message = f"You cannot expand more than {DEEPEST} levels of a property."
            raise invalid(message, "expand")
        _expand(account, answer, names, path)
    return answer


def _expand(account: Account, thing: Object, names: list[str], path: str) -> None:
    name, *rest = names
    if name == "data" and thing.get("object") == "list":
        for one in thing["data"]:
            _expand(account, one, rest, path)
        return
    included = INCLUDED.get((thing.get("object", ""), name))
    if name not in thing and included:
        thing[name] = included(account, thing)
    elif isinstance(thing.get(name, ""), str):
        found = account.store.find(thing.get(name, ""))
        if found is None:
            message = f"This property cannot be expanded ({path})."
            raise invalid(message, "expand")
        thing[name] = account.shown(found)
    if rest and isinstance(thing[name], dict):
        _expand(account, thing[name], rest, path)


def _payments(account: Account, invoice: Object) -> Object:
    of = account.store.all("invoice_payment")
    found = [account.shown(one) for one in of if one["invoice"] == invoice["id"]]
    return page(found, f"/v1/invoice_payments?invoice={invoice['id']}")


def _secret(account: Account, invoice: Object) -> Object | None:
    whole = account.get("invoice", invoice["id"])
    if invoice["status"] != "open" or not whole["_payments"]:
        return None
    secret = intent_of(account, whole)["client_secret"]
    return {"client_secret": secret, "type": "payment_intent"}


def _tax_ids(account: Account, customer: Object) -> Object:
    found = [one for one in account.store.all("tax_id") if one["customer"] == customer["id"]]
    return listed(account, found, {}, f"/v1/customers/{customer['id']}/tax_ids")


def _session_lines(account: Account, session: Object) -> Object:
    lines = account.get("checkout.session", session["id"])["_lines"]
    return page(lines, f"/v1/checkout/sessions/{session['id']}/line_items")


def _refunds(account: Account, charge: Object) -> Object:
    found = [one for one in account.store.all("refund") if one["charge"] == charge["id"]]
    return listed(account, found, {}, f"/v1/charges/{charge['id']}/refunds")


INCLUDED: Final[dict[tuple[str, str], Callable[[Account, Object], Object | None]]] = {
    ("invoice", "payments"): _payments,
    ("invoice", "confirmation_secret"): _secret,
    ("customer", "tax_ids"): _tax_ids,
    ("checkout.session", "line_items"): _session_lines,
    ("charge", "refunds"): _refunds,
}
"""What an object shows only when it is asked for."""


def methods_listed(account: Account, given: Object, customer_id: str = "") -> Object:
    """Of one customer; without one there are none to tell of."""
    wanted = customer_id or given.pop("customer", "")
    if wanted:
        account.get("customer", wanted, "id" if customer_id else "customer")
    url = f"/v1/customers/{customer_id}/payment_methods" if customer_id else "/v1/payment_methods"
    return listed(account, methods_of(account, wanted) if wanted else [], given, url)


def tax_ids_listed(account: Account, given: Object, customer_id: str) -> Object:
    account.get("customer", customer_id)
    found = [one for one in account.store.all("tax_id") if one["customer"] == customer_id]
    return listed(account, found, given, f"/v1/customers/{customer_id}/tax_ids")


def lines_listed(account: Account, given: Object, invoice_id: str) -> Object:
    """In the order of the invoice."""
    lines = account.get("invoice", invoice_id)["_lines"]
    return paged([dict(line) for line in lines], given, f"/v1/invoices/{invoice_id}/lines")


def note_lines_listed(account: Account, given: Object, note_id: str) -> Object:
    lines = account.get("credit_note", note_id)["lines"]["data"]
    return paged(list(lines), given, f"/v1/credit_notes/{note_id}/lines")
