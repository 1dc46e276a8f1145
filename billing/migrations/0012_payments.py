"""Payments, top-ups, and what is told to and heard from Stripe."""

from __future__ import annotations

import django.db.models.deletion
import django.db.models.expressions
import django.utils.timezone
import tenants.models.organizations
from decimal import Decimal
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0011_invoices"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="AutoTopUp",
            fields=[
                (
                    "organization",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        serialize=False,
                        to="tenants.organization",
                    ),
                ),
                ("is_on", models.BooleanField(default=False, verbose_name="top up automatically")),
                (
                    "threshold",
                    models.DecimalField(
                        decimal_places=2, max_digits=12, verbose_name="when less is left than"
                    ),
                ),
                (
                    "amount",
                    models.DecimalField(
                        decimal_places=2, max_digits=12, verbose_name="buy credit of"
                    ),
                ),
                (
                    "monthly_cap",
                    models.DecimalField(
                        decimal_places=2, max_digits=12, verbose_name="in a month at most"
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("idle", "Waiting"),
                            ("requested", "Requested"),
                            ("charging", "Charging the card"),
                            ("needs_action", "To be confirmed"),
                        ],
                        default="idle",
                        max_length=12,
                    ),
                ),
                ("sequence", models.PositiveIntegerField(default=0)),
                ("failures", models.PositiveSmallIntegerField(default=0)),
                ("cool_until", models.DateTimeField(null=True)),
                ("failure", models.CharField(blank=True, max_length=300)),
            ],
        ),
        migrations.CreateModel(
            name="Dunning",
            fields=[
                (
                    "organization",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        serialize=False,
                        to="tenants.organization",
                    ),
                ),
                (
                    "stage",
                    models.PositiveSmallIntegerField(
                        choices=[
                            (0, "Payment due"),
                            (3, "Reminded"),
                            (7, "Warned"),
                            (14, "Restricted"),
                            (30, "Suspended"),
                            (60, "Proposed as uncollectible"),
                        ]
                    ),
                ),
                ("late_since", models.DateTimeField()),
                ("has_suspended", models.BooleanField(default=False)),
                ("stepped_at", models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name="OutboxItem",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=tenants.models.organizations.new_id,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                (
                    "op",
                    models.CharField(
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
                            ("invoice.pay", "Mark an invoice as paid by bank"),
                            ("credit_note.create", "Issue a credit note"),
                            ("refund.create", "Pay back"),
                        ],
                        max_length=30,
                        verbose_name="act",
                    ),
                ),
                ("entity", models.CharField(max_length=60, verbose_name="of")),
                ("version", models.PositiveSmallIntegerField(default=1)),
                ("payload", models.JSONField()),
                ("idem_key", models.CharField(max_length=120, unique=True)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("pending", "Waiting"),
                            ("sending", "Being sent"),
                            ("unknown", "Unknown"),
                            ("done", "Done"),
                            ("failed", "Refused"),
                            ("dead", "Dead"),
                        ],
                        default="pending",
                        max_length=10,
                        verbose_name="state",
                    ),
                ),
                ("attempts", models.PositiveIntegerField(default=0)),
                ("first_sent_at", models.DateTimeField(null=True)),
                ("next_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("stripe_id", models.CharField(blank=True, max_length=100)),
                ("error", models.CharField(blank=True, max_length=500)),
                (
                    "created_at",
                    models.DateTimeField(default=django.utils.timezone.now, editable=False),
                ),
                ("done_at", models.DateTimeField(null=True)),
            ],
            options={
                "ordering": ["created_at", "id"],
            },
        ),
        migrations.CreateModel(
            name="Payment",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=tenants.models.organizations.new_id,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("top_up", "Top-up"),
                            ("auto_top_up", "Automatic top-up"),
                            ("invoice", "Invoice"),
                            ("manual", "Entered by hand"),
                        ],
                        max_length=12,
                        verbose_name="kind",
                    ),
                ),
                ("net", models.DecimalField(decimal_places=2, max_digits=12, verbose_name="net")),
                (
                    "vat",
                    models.DecimalField(
                        decimal_places=2, default=Decimal("0"), max_digits=12, verbose_name="VAT"
                    ),
                ),
                (
                    "total",
                    models.DecimalField(decimal_places=2, max_digits=12, verbose_name="total"),
                ),
                (
                    "refunded",
                    models.DecimalField(decimal_places=2, default=Decimal("0"), max_digits=12),
                ),
                (
                    "vat_rate",
                    models.DecimalField(decimal_places=2, default=Decimal("0"), max_digits=5),
                ),
                ("vat_treatment", models.CharField(blank=True, max_length=20)),
                ("currency", models.CharField(default="EUR", max_length=3)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("created", "Begun"),
                            ("pending", "Under way"),
                            ("needs_action", "To be confirmed"),
                            ("paid", "Paid"),
                            ("failed", "Failed"),
                            ("refunded", "Refunded"),
                            ("cancelled", "Cancelled"),
                        ],
                        default="created",
                        max_length=12,
                        verbose_name="state",
                    ),
                ),
                (
                    "provider",
                    models.CharField(
                        choices=[("stripe", "Card"), ("manual", "Bank")],
                        max_length=10,
                        verbose_name="paid by",
                    ),
                ),
                ("stripe_payment_intent", models.CharField(blank=True, max_length=100)),
                ("stripe_checkout_session", models.CharField(blank=True, max_length=100)),
                ("checkout_url", models.URLField(blank=True, max_length=2000)),
                (
                    "reference",
                    models.CharField(blank=True, max_length=100, verbose_name="reference"),
                ),
                ("failure", models.CharField(blank=True, max_length=300, verbose_name="failure")),
                (
                    "created_at",
                    models.DateTimeField(default=django.utils.timezone.now, editable=False),
                ),
                ("paid_at", models.DateTimeField(null=True)),
            ],
            options={
                "ordering": ["-created_at", "-id"],
            },
        ),
        migrations.CreateModel(
            name="PaymentNotice",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("payment_failed", "Payment Failed"),
                            ("needs_action", "Needs Action"),
                            ("auto_top_up_off", "Auto Top Up Off"),
                            ("late", "Late"),
                            ("settled", "Settled"),
                        ],
                        max_length=20,
                    ),
                ),
                ("source", models.CharField(max_length=100)),
                (
                    "stage",
                    models.PositiveSmallIntegerField(
                        choices=[
                            (0, "Payment due"),
                            (3, "Reminded"),
                            (7, "Warned"),
                            (14, "Restricted"),
                            (30, "Suspended"),
                            (60, "Proposed as uncollectible"),
                        ],
                        null=True,
                    ),
                ),
                (
                    "created_at",
                    models.DateTimeField(default=django.utils.timezone.now, editable=False),
                ),
                ("told_at", models.DateTimeField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name="Reconciliation",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=tenants.models.organizations.new_id,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("lag", "Not there yet"),
                            ("missing", "Missing"),
                            ("stale", "Out of date"),
                            ("extra", "Not ours"),
                            ("value", "Another amount"),
                        ],
                        max_length=10,
                        verbose_name="difference",
                    ),
                ),
                ("subject", models.CharField(max_length=30, verbose_name="of")),
                ("entity", models.CharField(max_length=100)),
                ("ours", models.CharField(blank=True, max_length=100, verbose_name="ours")),
                ("theirs", models.CharField(blank=True, max_length=100, verbose_name="Stripe’s")),
                ("first_seen_at", models.DateTimeField()),
                ("last_seen_at", models.DateTimeField()),
                ("resolved_at", models.DateTimeField(null=True)),
            ],
            options={
                "ordering": ["-first_seen_at"],
            },
        ),
        migrations.CreateModel(
            name="Refund",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=tenants.models.organizations.new_id,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("net", models.DecimalField(decimal_places=2, max_digits=12, verbose_name="net")),
                ("vat", models.DecimalField(decimal_places=2, max_digits=12, verbose_name="VAT")),
                ("reason", models.CharField(max_length=200, verbose_name="reason")),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("pending", "Under way"),
                            ("done", "Paid back"),
                            ("failed", "Failed"),
                        ],
                        default="pending",
                        max_length=10,
                        verbose_name="state",
                    ),
                ),
                ("stripe_id", models.CharField(blank=True, max_length=100)),
                ("failure", models.CharField(blank=True, max_length=300, verbose_name="failure")),
                (
                    "created_at",
                    models.DateTimeField(default=django.utils.timezone.now, editable=False),
                ),
            ],
            options={
                "ordering": ["-created_at"],
            },
        ),
        migrations.CreateModel(
            name="StripeCustomer",
            fields=[
                (
                    "organization",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        serialize=False,
                        to="tenants.organization",
                    ),
                ),
                ("stripe_id", models.CharField(max_length=100, null=True, unique=True)),
                ("payment_method", models.CharField(blank=True, max_length=100)),
                ("label", models.CharField(blank=True, max_length=100, verbose_name="card")),
                (
                    "created_at",
                    models.DateTimeField(default=django.utils.timezone.now, editable=False),
                ),
            ],
        ),
        migrations.CreateModel(
            name="StripeSync",
            fields=[
                (
                    "id",
                    models.PositiveSmallIntegerField(default=1, primary_key=True, serialize=False),
                ),
                ("events_until", models.DateTimeField(null=True)),
                ("down_since", models.DateTimeField(null=True)),
                ("is_behind", models.BooleanField(default=False)),
                ("reconciled_at", models.DateTimeField(null=True)),
                ("compared", models.PositiveIntegerField(default=0)),
            ],
        ),
        migrations.CreateModel(
            name="WebhookEvent",
            fields=[
                ("id", models.CharField(max_length=100, primary_key=True, serialize=False)),
                ("type", models.CharField(max_length=100, verbose_name="event")),
                ("object_id", models.CharField(blank=True, max_length=100, verbose_name="about")),
                ("body", models.JSONField()),
                ("happened_at", models.DateTimeField()),
                ("received_at", models.DateTimeField()),
                ("is_fetched", models.BooleanField(default=False)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("received", "Waiting"),
                            ("done", "Done"),
                            ("ignored", "Nothing to do"),
                            ("refused", "Refused"),
                        ],
                        default="received",
                        max_length=10,
                        verbose_name="state",
                    ),
                ),
                ("attempts", models.PositiveIntegerField(default=0)),
                ("next_at", models.DateTimeField()),
                ("note", models.CharField(blank=True, max_length=500)),
                ("done_at", models.DateTimeField(null=True)),
            ],
            options={
                "ordering": ["-received_at"],
            },
        ),
        migrations.CreateModel(
            name="WebhookRefusal",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("day", models.DateField()),
                ("reason", models.CharField(max_length=200)),
                ("count", models.PositiveBigIntegerField(default=1)),
                ("last_at", models.DateTimeField()),
                ("detail", models.CharField(blank=True, max_length=200)),
            ],
            options={
                "ordering": ["-last_at"],
            },
        ),
        migrations.AddField(
            model_name="autotopup",
            name="set_by",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="outboxitem",
            name="organization",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="tenants.organization",
            ),
        ),
        migrations.AddField(
            model_name="payment",
            name="created_by",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="payment",
            name="invoice",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="payments",
                to="billing.invoice",
            ),
        ),
        migrations.AddField(
            model_name="payment",
            name="organization",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="payments",
                to="tenants.organization",
            ),
        ),
        migrations.AddField(
            model_name="autotopup",
            name="payment",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to="billing.payment",
            ),
        ),
        migrations.AddField(
            model_name="paymentnotice",
            name="invoice",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="billing.invoice",
            ),
        ),
        migrations.AddField(
            model_name="paymentnotice",
            name="organization",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="tenants.organization",
            ),
        ),
        migrations.AddField(
            model_name="paymentnotice",
            name="payment",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="billing.payment",
            ),
        ),
        migrations.AddConstraint(
            model_name="reconciliation",
            constraint=models.UniqueConstraint(
                condition=models.Q(("resolved_at", None)),
                fields=("subject", "entity", "kind"),
                name="reconciliation_open_once",
            ),
        ),
        migrations.AddField(
            model_name="refund",
            name="created_by",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="refund",
            name="credit_note",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="refunds",
                to="billing.creditnote",
            ),
        ),
        migrations.AddField(
            model_name="refund",
            name="organization",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="refunds",
                to="tenants.organization",
            ),
        ),
        migrations.AddField(
            model_name="refund",
            name="payment",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="refunds",
                to="billing.payment",
            ),
        ),
        migrations.AddConstraint(
            model_name="stripesync",
            constraint=models.CheckConstraint(
                condition=models.Q(("id", 1)), name="stripe_sync_one_row"
            ),
        ),
        migrations.AddIndex(
            model_name="webhookevent",
            index=models.Index(
                condition=models.Q(("state", "received")),
                fields=["next_at"],
                name="webhook_event_waiting",
            ),
        ),
        migrations.AddIndex(
            model_name="webhookevent",
            index=models.Index(fields=["-received_at"], name="webhook_event_received"),
        ),
        migrations.AddConstraint(
            model_name="webhookrefusal",
            constraint=models.UniqueConstraint(
                fields=("day", "reason"), name="webhook_refusal_once"
            ),
        ),
        migrations.AddIndex(
            model_name="outboxitem",
            index=models.Index(
                condition=models.Q(("state__in", ["pending", "sending", "unknown"])),
                fields=["organization", "created_at", "id"],
                name="outbox_unfinished",
            ),
        ),
        migrations.AddIndex(
            model_name="outboxitem",
            index=models.Index(fields=["state", "created_at"], name="outbox_state"),
        ),
        migrations.AddConstraint(
            model_name="outboxitem",
            constraint=models.UniqueConstraint(fields=("op", "entity"), name="outbox_once"),
        ),
        migrations.AddIndex(
            model_name="payment",
            index=models.Index(fields=["organization", "-created_at"], name="payment_of"),
        ),
        migrations.AddIndex(
            model_name="payment",
            index=models.Index(fields=["stripe_checkout_session"], name="payment_checkout"),
        ),
        migrations.AddConstraint(
            model_name="payment",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "total",
                        django.db.models.expressions.CombinedExpression(
                            models.F("net"), "+", models.F("vat")
                        ),
                    )
                ),
                name="payment_total",
            ),
        ),
        migrations.AddConstraint(
            model_name="payment",
            constraint=models.CheckConstraint(
                condition=models.Q(("net__gt", 0), ("vat__gte", 0)), name="payment_positive"
            ),
        ),
        migrations.AddConstraint(
            model_name="payment",
            constraint=models.CheckConstraint(
                condition=models.Q(("refunded__gte", 0), ("refunded__lte", models.F("total"))),
                name="payment_refunded",
            ),
        ),
        migrations.AddConstraint(
            model_name="payment",
            constraint=models.UniqueConstraint(
                condition=models.Q(("stripe_payment_intent", ""), _negated=True),
                fields=("stripe_payment_intent",),
                name="payment_intent_once",
            ),
        ),
        migrations.AddConstraint(
            model_name="payment",
            constraint=models.UniqueConstraint(
                condition=models.Q(("provider", "manual")),
                fields=("provider", "reference"),
                name="payment_reference_once",
            ),
        ),
        migrations.AddConstraint(
            model_name="payment",
            constraint=models.UniqueConstraint(
                condition=models.Q(("kind", "auto_top_up")),
                fields=("organization", "kind", "reference"),
                name="payment_auto_once",
            ),
        ),
        migrations.AddConstraint(
            model_name="autotopup",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("amount__gt", 0),
                    ("monthly_cap__gte", models.F("amount")),
                    ("threshold__gte", 0),
                ),
                name="auto_top_up_amounts",
            ),
        ),
        migrations.AddIndex(
            model_name="paymentnotice",
            index=models.Index(
                condition=models.Q(("told_at", None)),
                fields=["created_at"],
                name="payment_notice_untold",
            ),
        ),
        migrations.AddConstraint(
            model_name="paymentnotice",
            constraint=models.UniqueConstraint(
                fields=("organization", "kind", "source"), name="payment_notice_once"
            ),
        ),
    ]
