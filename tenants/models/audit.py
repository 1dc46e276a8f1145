"""The audit trail: a chain of entries per organization and one of the platform, and its anchors."""

from __future__ import annotations

from typing import ClassVar, Final, Self, override
from uuid import UUID

from django.db import models
from django.utils import timezone
from uuid_utils.compat import uuid7

from tenants.models.organizations import Organization, TenantQuerySet
from tenants.models.people import User

PLATFORM: Final = UUID(int=0)
"""The chain of the platform; an organization's has the organization's id."""


class AuditEntryQuerySet(TenantQuerySet["AuditEntry"]):
    @override
    def for_organization(self, organization: Organization) -> Self:
        return self.filter(chain=organization.pk)

    def of_platform(self) -> Self:
        return self.filter(chain=PLATFORM)


class AuditEntry(models.Model):
    """What happened, who did it, when. PostgreSQL's `audit_append` alone writes it, once.

    `hash` is the SHA-256 of `prev`, `seq`, `chain` and `body`; the other columns say what `body`
    says. `personal` holds facts about people, encrypted under their keys, by the keys' ids.
    """

    chain = models.UUIDField(editable=False)
    seq = models.BigIntegerField(editable=False)
    prev = models.BinaryField(max_length=32, editable=False)
    hash = models.BinaryField(max_length=32, editable=False)
    body = models.TextField(editable=False)
    organization = models.ForeignKey(
        Organization, models.PROTECT, null=True, related_name="audit_entries", db_index=False
    )
    actor = models.ForeignKey(User, models.PROTECT, null=True, related_name="+", db_index=False)
    on_behalf_of = models.ForeignKey(User, models.PROTECT, null=True, related_name="+")
    action = models.CharField(max_length=50)
    target_type = models.CharField(max_length=50)
    target_id = models.CharField(max_length=100)
    data = models.JSONField(default=dict)
    personal = models.JSONField(default=dict, editable=False)
    auth = models.CharField(max_length=50, default="")
    request_id = models.CharField(max_length=36, default="")
    reason = models.TextField(default="")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = AuditEntryQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["-id"]
        verbose_name_plural = "audit entries"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["chain", "seq"], name="audit_entry_seq_unique")
        ]
        indexes: ClassVar = [
            models.Index(fields=["chain", "created_at"], name="audit_entry_time"),
            models.Index(fields=["chain", "action", "seq"], name="audit_entry_action"),
            models.Index(fields=["chain", "actor", "seq"], name="audit_entry_actor"),
            models.Index(fields=["target_type", "target_id"], name="audit_entry_target"),
        ]

    @override
    def __str__(self) -> str:
        return f"{self.action} {self.target_type} {self.target_id}"


class AuditHead(models.Model):
    """The last entry of a chain: its number and its hash. Only `audit_append` moves it."""

    chain = models.UUIDField(primary_key=True, editable=False)
    organization = models.ForeignKey(Organization, models.PROTECT, null=True, related_name="+")
    seq = models.BigIntegerField(editable=False)
    hash = models.BinaryField(max_length=32, editable=False)

    objects = TenantQuerySet["AuditHead"].as_manager()

    @override
    def __str__(self) -> str:
        return f"{self.chain} #{self.seq}"


class PersonKey(models.Model):
    """The key that facts about one person are encrypted under. Erasing it erases them.

    `subject` is `user:<id>`, `email:<digest>` of someone without an account, or
    `strangers:<month>` for those who only tried to log in.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    subject = models.CharField(max_length=100, editable=False)
    sealed = models.BinaryField(editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    erased_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["subject"],
                condition=models.Q(erased_at=None),
                name="person_key_subject_unique",
            )
        ]

    @override
    def __str__(self) -> str:
        return self.subject


class AuditAnchor(models.Model):
    """The Merkle root over all heads at one time, as it was signed and written elsewhere.

    `document` is the file that was written; see `tenants.audit.anchors`.
    """

    number = models.PositiveBigIntegerField(primary_key=True, editable=False)
    at = models.DateTimeField(editable=False)
    document = models.TextField(editable=False)

    @override
    def __str__(self) -> str:
        return f"#{self.number}"


class AnchoredHead(models.Model):
    """The head of a chain that had moved when an anchor was made."""

    anchor = models.ForeignKey(AuditAnchor, models.PROTECT, related_name="heads")
    chain = models.UUIDField(editable=False)
    seq = models.BigIntegerField(editable=False)
    hash = models.BinaryField(max_length=32, editable=False)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["chain", "anchor"], name="anchored_head_unique")
        ]

    @override
    def __str__(self) -> str:
        return f"{self.chain} #{self.seq}"


class AuditStandingQuerySet(TenantQuerySet["AuditStanding"]):
    def wrong(self) -> Self:
        """Of chains that are not as they were written."""
        return self.exclude(findings=[])


class AuditStanding(models.Model):
    """What the last look through a chain found: it is right up to `seq`, or what is wrong.

    `findings` holds at most the first hundred, as sentences.
    """

    chain = models.UUIDField(primary_key=True, editable=False)
    organization = models.ForeignKey(Organization, models.PROTECT, null=True, related_name="+")
    seq = models.BigIntegerField(editable=False)
    anchored_seq = models.BigIntegerField(default=0, editable=False)
    checked_at = models.DateTimeField(editable=False)
    findings = models.JSONField(default=list, editable=False)

    objects = AuditStandingQuerySet.as_manager()

    @override
    def __str__(self) -> str:
        return f"{self.chain} #{self.seq}"
