"""Money that comes in and goes back: by Stripe, or by bank.

top_ups, auto      begin payments         pushing      sends invoices
queue, outbox      calls to Stripe, each until it is certain what became of it
inbox, backfill    events from Stripe     looks        what it shows, compared with ours
booking            the one way into the books, for what was verified
manual, refunding  by bank, and back      excess       what was paid too much
dunning            what is late           reconciling  ours against theirs, each hour
bodies             of events, emptied when they are old
"""

from __future__ import annotations

from billing.payments.auto import auto_top_up_set, auto_top_ups_step, spent_in_month
from billing.payments.backfill import events_backfill, events_catch_up
from billing.payments.bodies import bodies_empty, bodies_empty_of
from billing.payments.dunning import (
    dunning_look,
    dunning_step,
    is_restricted,
    key_making_check,
)
from billing.payments.errors import MismatchError, NotOursError
from billing.payments.excess import Way, excess_return, ways_of
from billing.payments.inbox import (
    WebhookRefusedError,
    inbox_work,
    webhook_replay,
    webhook_take,
)
from billing.payments.looks import payment_refresh
from billing.payments.manual import payment_enter
from billing.payments.outbox import outbox_send
from billing.payments.pushing import corrections_push, invoices_push
from billing.payments.queue import outbox_add, outbox_retry
from billing.payments.reconciling import stripe_reconcile
from billing.payments.refunding import Rest, invoice_credit, payment_refund, refund_again
from billing.payments.top_ups import payment_action, portal_url, top_up_begin

__all__ = [
    "MismatchError",
    "NotOursError",
    "Rest",
    "Way",
    "WebhookRefusedError",
    "auto_top_up_set",
    "auto_top_ups_step",
    "bodies_empty",
    "bodies_empty_of",
    "corrections_push",
    "dunning_look",
    "dunning_step",
    "events_backfill",
    "events_catch_up",
    "excess_return",
    "inbox_work",
    "invoice_credit",
    "invoices_push",
    "is_restricted",
    "key_making_check",
    "outbox_add",
    "outbox_retry",
    "outbox_send",
    "payment_action",
    "payment_enter",
    "payment_refresh",
    "payment_refund",
    "portal_url",
    "refund_again",
    "spent_in_month",
    "stripe_reconcile",
    "top_up_begin",
    "ways_of",
    "webhook_replay",
    "webhook_take",
]
