"""Passwords that others have lost: refused when they stand in a list that the operator keeps here.

The list is the one of haveibeenpwned.com, "ordered by hash": lines of `SHA-1 in capitals:count`. It
is asked on this machine, so that no password and no part of its digest leaves it.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Final

from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from tenants.models import User

LONGEST_LINE: Final = 64


class BreachedPasswordValidator:
    """Django's way to say no to a password; says yes to all where no list is kept."""

    def validate(self, password: str, user: User | None = None) -> None:
        path = settings.BREACHED_PASSWORDS_FILE
        if path and is_listed(Path(path), password):
            raise ValidationError(
                _("This password is in a list of stolen ones. Choose one you use nowhere else."),
                code="password_breached",
            )

    def get_help_text(self) -> str:
        return _("It must not be one that was stolen elsewhere.")


def is_listed(path: Path, password: str) -> bool:
    """Whether the sorted file has the password's digest: some 30 reads, however long it is."""
    wanted = hashlib.sha1(password.encode(), usedforsecurity=False).hexdigest().upper().encode()
    with path.open("rb") as file:
        low, high = 0, file.seek(0, os.SEEK_END)
        while high - low > LONGEST_LINE:
            middle = (low + high) // 2
            file.seek(middle)
            file.readline()
            line = file.readline()
            low, high = (middle, high) if line and line[:40] <= wanted else (low, middle)
        file.seek(low)
        near = file.read(high - low + LONGEST_LINE)
    return any(line.startswith(wanted) for line in near.splitlines())
