"""What was paid too much is kept on its payment, and goes back without a credit note."""

from __future__ import annotations

from decimal import Decimal
from typing import ClassVar

import django.db.models.deletion
from django.db import migrations, models
from django.db.models import F, Q

# What the books owe back of a payment: nothing could be given back of it before.
KEPT = """
UPDATE billing_payment payment SET excess = moved.amount
FROM billing_transfer moved JOIN billing_account account ON account.id = moved.credit_id
WHERE account.kind = 'owed' AND moved.source_type = 'payment' AND moved.code = 'invoice'
    AND moved.source_id = payment.provider || ':' || payment.reference
    AND payment.kind = 'invoice' AND payment.organization_id = account.organization_id
    AND moved.amount <= payment.total - payment.refunded
"""


class Migration(migrations.Migration):
    dependencies: ClassVar = [("billing", "0014_exchange_rates")]

    operations: ClassVar = [
        migrations.AddField(
            model_name="payment",
            name="excess",
            field=models.DecimalField(decimal_places=2, default=Decimal(0), max_digits=12),
        ),
        migrations.AddField(
            model_name="refund",
            name="reference",
            field=models.CharField(blank=True, max_length=100, verbose_name="reference"),
        ),
        migrations.AlterField(
            model_name="refund",
            name="credit_note",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="refunds",
                to="billing.creditnote",
            ),
        ),
        migrations.RunSQL(KEPT, migrations.RunSQL.noop),
        migrations.AddIndex(
            model_name="payment",
            index=models.Index(
                fields=["created_at"], condition=Q(excess__gt=0), name="payment_too_much"
            ),
        ),
        migrations.AddConstraint(
            model_name="payment",
            constraint=models.CheckConstraint(
                condition=Q(excess__gte=0, excess__lte=F("total") - F("refunded")),
                name="payment_excess",
            ),
        ),
    ]
