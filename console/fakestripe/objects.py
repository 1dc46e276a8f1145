"""Objects as the SDK's classes describe them: every field is there, and no other."""

from __future__ import annotations

from collections.abc import Hashable
from copy import deepcopy
from functools import cache
from types import NoneType
from typing import Any, Final, cast, get_args, get_origin

import stripe

from console.fakestripe.http import Object

INCLUDABLE: Final = {
    "charge": {"refunds", "source", "application", "level3", "presentment_details"},
    "checkout.session": {"line_items"},
    "customer": {"cash_balance", "sources", "subscriptions", "tax", "tax_ids"},
    "invoice": {"confirmation_secret", "payments"},
}
"""Fields that an object shows when they are asked for, if at all."""
_ALWAYS: Final = {"allow_redisplay", "customer", "customer_account", "metadata"}
"""Of a payment method, beside its own type."""


def made(kind: type[stripe.StripeObject], **given: Any) -> Object:
    """An object of `kind`: what is not given is null, an empty list or absent, as Stripe has it."""
    blank, names = _blank(cast("Hashable", kind))
    if wrong := given.keys() - names:
        raise AssertionError(f"{kind.__name__} has no {sorted(wrong)}.")
    thing = deepcopy(blank) | given
    if lacking := names - thing.keys() - _absent(thing["object"], names):
        raise AssertionError(f"{kind.__name__} lacks {sorted(lacking)}.")
    return thing


@cache
def _blank(kind: Any) -> tuple[Object, frozenset[str]]:
    annotations = {
        name: hint for name, hint in kind.__annotations__.items() if name != "OBJECT_NAME"
    }
    (name,) = get_args(annotations["object"])
    absent = _absent(name, frozenset(annotations))
    blank: Object = {"id": None, "object": name}
    for field, hint in annotations.items():
        if field in blank or field in absent:
            continue
        if NoneType in get_args(hint):
            blank[field] = None
        elif get_origin(hint) is list:
            blank[field] = []
    if "livemode" in annotations:
        blank["livemode"] = False
    return blank, frozenset(annotations)


def _absent(kind: str, names: frozenset[str]) -> frozenset[str]:
    if kind == "payment_method":
        always = _ALWAYS | {"id", "object", "billing_details", "created", "livemode", "type"}
        return names - always
    return frozenset({"deleted", *INCLUDABLE.get(kind, ())})


def page(data: list[Object], url: str, *, has_more: bool = False) -> Object:
    return {"object": "list", "data": data, "has_more": has_more, "url": url}


def metadata_merged(before: Object | None, given: Any) -> Object:
    """An empty value unsets its key, an empty string in place of all unsets them all."""
    if given == "":
        return {}
    return {name: value for name, value in ((before or {}) | (given or {})).items() if value != ""}


ADDRESS: Final = ("city", "country", "line1", "line2", "postal_code", "state")


def address_of(given: Object | str | None) -> Object | None:
    if not isinstance(given, dict):
        return None
    return {name: given.get(name) or None for name in ADDRESS}
