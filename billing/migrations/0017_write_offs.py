"""Stripe is told of invoices that were written off."""

from __future__ import annotations

from typing import ClassVar

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies: ClassVar = [("billing", "0016_webhook_bodies")]

    operations: ClassVar = [
        migrations.AlterField(
            model_name="outboxitem",
            name="op",
            field=models.CharField(
                choices=[
                    ("customer.create", "Make a customer"),
                    ("checkout.create", "Open a checkout"),
                    ("checkout.expire", "Close a checkout"),
                    ("payment_intent.create", "Charge a card"),
                    ("payment_intent.cancel", "Cancel a charge"),
                    ("invoice.create", "Make an invoice"),
                    ("invoiceitem.create", "Add a line to an invoice"),
                    ("invoice.finalize", "Finalise an invoice"),
                    ("invoice.void", "Void an invoice"),
                    ("invoice.mark_uncollectible", "Write an invoice off"),
                    ("invoice.delete", "Delete the draft of an invoice"),
                    ("invoice.pay", "Mark an invoice as paid by bank"),
                    ("credit_note.create", "Issue a credit note"),
                    ("refund.create", "Pay back"),
                ],
                max_length=30,
                verbose_name="act",
            ),
        ),
    ]
