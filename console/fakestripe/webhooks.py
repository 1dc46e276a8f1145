"""Webhooks: signed, at least once, in any order, tried again for three days."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

from console.fakestripe.account import DAY_S, Account
from console.fakestripe.http import Object, encoded

GIVEN_UP_S: Final = 3 * DAY_S
FIRST_RETRY_S: Final = 60
LONGEST_RETRY_S: Final = 12 * 3600

Send = Callable[[bytes, Mapping[str, str]], int]
"""Given a body and headers, the status of the receiver; 0 when nobody answered."""
Plan = Callable[[Random], Sequence[float]]
"""How late each copy of an event is sent, in seconds."""


def in_order(random: Random) -> Sequence[float]:
    """Each event once, at once."""
    return (0,)


@dataclass(frozen=True)
class Delays:
    """One to three copies of an event, each up to `most_s` late, and most of them soon."""

    most_s: float = GIVEN_UP_S

    def __call__(self, random: Random) -> Sequence[float]:
        copies = random.choice((1, 1, 1, 2, 3))
        return [self.most_s * random.random() ** 6 for _ in range(copies)]


def signature(body: bytes, secret: str, timestamp: int) -> str:
    """The header Stripe-Signature."""
    signed = f"{timestamp}.{body.decode()}".encode()
    digest = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
    return f"t={timestamp},v1={digest}"


def plan(account: Account, delays: Plan) -> None:
    """Plan the sending of what happened since the last call."""
    for event in account.told:
        for late_s in delays(account.random):
            account.put(
                {
                    "id": account.new_id("whd"), "object": "_delivery", "event": event["id"],
                    "due": account.now() + late_s, "first": account.now(), "tries": 0,
                }
            )  # fmt: skip
    account.told.clear()


def due(account: Account) -> list[Object]:
    """Deliveries for now, in the order in which they are due."""
    waiting = account.store.all("_delivery")
    now = account.now()
    return sorted((one for one in waiting if one["due"] <= now), key=lambda one: one["due"])


def message(account: Account, delivery: Object, secret: str) -> tuple[bytes, dict[str, str]] | None:
    """What is sent; None when its event is so old that it is gone."""
    event = account.store.find(delivery["event"])
    if event is None:
        account.store.remove(delivery["id"])
        return None
    body = encoded(account.shown(event))
    return body, {
        "Content-Type": "application/json; charset=utf-8",
        "Stripe-Signature": signature(body, secret, account.now()),
        "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
    }


def sent(account: Account, delivery: Object, status: int) -> None:
    """Done with a 2xx, else later again."""
    if account.store.find(delivery["id"]) is None:
        return
    if 200 <= status < 300:
        account.store.remove(delivery["id"])
        if event := account.store.find(delivery["event"]):
            account.put(event | {"pending_webhooks": 0})
        return
    wait_s = min(LONGEST_RETRY_S, FIRST_RETRY_S * 4 ** delivery["tries"])
    if account.now() + wait_s > delivery["first"] + GIVEN_UP_S:
        account.store.remove(delivery["id"])
        return
    account.put(delivery | {"due": account.now() + wait_s, "tries": delivery["tries"] + 1})
