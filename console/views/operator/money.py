"""The map of the operator's pages of money: a page's name is its view's."""

from __future__ import annotations

from typing import Final

from django.urls import URLPattern, path

from console.views.operator import (
    books,
    credit,
    dunning,
    exchange,
    invoice,
    invoices,
    payments,
    plans,
    prices,
    revenue,
    stripe,
)

urls: Final[list[URLPattern]] = [
    path(address, view, name=view.__name__)
    for address, view in (
        ("revenue/", revenue.operator_revenue),
        ("backends/<slug:backend>/cost/", revenue.operator_backend_cost),
        ("books/", books.operator_books),
        ("books/check/", books.operator_books_check),
        ("books/accounts/", books.operator_accounts),
        ("books/transfers/", books.operator_transfers),
        ("books/transfers/<uuid:transfer>/", books.operator_transfer),
        ("books/transfers/<uuid:transfer>/requests/", books.operator_transfer_events),
        ("organizations/<slug:org>/plan/", credit.operator_organization_plan),
        ("organizations/<slug:org>/book/", credit.operator_organization_book),
        ("organizations/<slug:org>/currency/", credit.operator_organization_currency),
        ("organizations/<slug:org>/vat/", credit.operator_organization_vat),
        ("prices/", prices.operator_prices),
        ("prices/add/", prices.operator_price_book_add),
        ("prices/rates/<uuid:rate>/approve/", prices.operator_rate_approve),
        ("prices/rates/<uuid:rate>/withdraw/", prices.operator_rate_withdraw),
        ("prices/<slug:book>/", prices.operator_price_book),
        ("prices/<slug:book>/edit/", prices.operator_price_book_edit),
        ("prices/<slug:book>/discounts/", prices.operator_price_tiers),
        ("prices/<slug:book>/models/<path:model>/", prices.operator_price),
        ("plans/", plans.operator_plans),
        ("plans/add/", plans.operator_plan_add),
        ("plans/<slug:plan>/", plans.operator_plan),
        ("invoices/", invoices.operator_invoices),
        ("invoices/<uuid:invoice>/", invoice.operator_invoice),
        ("invoices/<uuid:invoice>/finalise/", invoice.operator_invoice_finalise),
        ("invoices/<uuid:invoice>/release/", invoice.operator_invoice_release),
        ("invoices/<uuid:invoice>/void/", invoice.operator_invoice_void),
        ("invoices/<uuid:invoice>/write-off/", invoice.operator_invoice_write_off),
        ("invoices/<uuid:invoice>/credit-note/", invoice.operator_credit_note),
        ("invoices/<uuid:invoice>/payment/", invoice.operator_invoice_payment),
        ("invoices/<uuid:invoice>.pdf", invoice.operator_invoice_pdf),
        ("invoices/<uuid:invoice>/usage.csv", invoice.operator_invoice_usage),
        ("credit-notes/<uuid:note>.pdf", invoice.operator_credit_note_pdf),
        ("vat/", invoices.operator_vat),
        ("vat.csv", invoices.operator_vat_csv),
        ("vat/rates/", exchange.operator_exchange_rates),
        ("vat/rates/add/", exchange.operator_exchange_rate_add),
        ("payments/", payments.operator_payments),
        ("payments/late/", dunning.operator_dunning),
        ("payments/<uuid:payment>/", payments.operator_payment),
        ("payments/<uuid:payment>/refund/", payments.operator_payment_refund),
        ("payments/<uuid:payment>/excess/", payments.operator_payment_excess),
        ("refunds/<uuid:refund>/again/", payments.operator_refund_again),
        ("stripe/", stripe.operator_stripe),
        ("stripe/calls/<uuid:item>/", stripe.operator_outbox_item),
        ("stripe/calls/<uuid:item>/again/", stripe.operator_outbox_retry),
        ("stripe/webhooks/", stripe.operator_webhooks),
        ("stripe/webhooks/<str:event>/", stripe.operator_webhook),
        ("stripe/webhooks/<str:event>/again/", stripe.operator_webhook_replay),
        ("stripe/reconciliation/", stripe.operator_reconciliation),
    )
]
