"""People."""

from __future__ import annotations

from typing import Any, ClassVar, override

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class StaffRole(models.TextChoices):
    """What an operator may do: all; read and help; or read and change money."""

    ADMINISTRATOR = "administrator", _("Administrator")
    SUPPORT = "support", _("Support")
    FINANCE = "finance", _("Finance")


class UserManager(BaseUserManager["User"]):
    def create_user(self, email: str, password: str | None = None, **fields: Any) -> User:
        if fields.get("is_staff"):
            fields.setdefault("staff_role", StaffRole.ADMINISTRATOR)
        user = self.model(email=self.normalize_email(email).lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> User:
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)

    @override
    def get_by_natural_key(self, username: str | None) -> User:
        return self.get(email__iexact=username)


class User(AbstractBaseUser, PermissionsMixin):
    """A person. `is_staff` makes an operator: staff of the platform, member of no organization.

    `staff_role` is what an operator may do, and empty for everyone else.
    """

    email = models.EmailField(_("e-mail"), unique=True)
    name = models.CharField(_("name"), max_length=100, blank=True)
    is_staff = models.BooleanField(_("operator"), default=False)
    staff_role = models.CharField(_("staff role"), max_length=20, choices=StaffRole, blank=True)
    is_active = models.BooleanField(_("active"), default=True)
    date_joined = models.DateTimeField(default=timezone.now)

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    objects: ClassVar[UserManager] = UserManager()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(Lower("email"), name="user_email_unique"),
            models.CheckConstraint(
                condition=models.Q(is_staff=False, staff_role="")
                | models.Q(is_staff=True, staff_role__in=StaffRole.values),
                name="user_staff_has_role",
            ),
        ]

    @override
    def __str__(self) -> str:
        return self.name or self.email
