"""The books: what every euro of usage, payment and promotion did, twice over.

All that moves money calls `usage_post`, a service of `credit`, or a pending transfer; they alone
write transfers and balances, in one transaction, under the lock of the organization's `Books`.
"""

from __future__ import annotations

from billing.ledger.accounts import AccountKey
from billing.ledger.books import books_advance, books_announce, books_lock
from billing.ledger.check import Difference, batches_check, books_check, invoices_check
from billing.ledger.credit import (
    Entered,
    prepaid_top_up,
    promo_expire,
    promo_grant,
    top_up_book,
)
from billing.ledger.flows import (
    credit_note_book,
    fee_book,
    invoice_book,
    invoice_unbook,
    payment_book,
    payout_book,
    refund_book,
    write_off_book,
)
from billing.ledger.journals import Booked
from billing.ledger.pending import pending_make, pending_post, pending_void, pendings_expire
from billing.ledger.transfers import BooksError, Source, transfer_id
from billing.ledger.usage import usage_post
from billing.ledger.wallets import Wallet, wallet_read

__all__ = [
    "AccountKey",
    "Booked",
    "BooksError",
    "Difference",
    "Entered",
    "Source",
    "Wallet",
    "batches_check",
    "books_advance",
    "books_announce",
    "books_check",
    "books_lock",
    "credit_note_book",
    "fee_book",
    "invoice_book",
    "invoice_unbook",
    "invoices_check",
    "payment_book",
    "payout_book",
    "pending_make",
    "pending_post",
    "pending_void",
    "pendings_expire",
    "prepaid_top_up",
    "promo_expire",
    "promo_grant",
    "refund_book",
    "top_up_book",
    "transfer_id",
    "usage_post",
    "wallet_read",
    "write_off_book",
]
