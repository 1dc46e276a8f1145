"""Which e-mail addresses people may have here. Pure functions.

Two addresses that look the same must be the same, or an invitation could be read as one for
somebody else: so only plain letters, digits and a few signs, and no domain that hides others.
"""

from __future__ import annotations

import re
from typing import Final

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.utils.translation import gettext as _

_PLAIN: Final = re.compile(r"[a-z0-9_][a-z0-9._+-]{0,63}@[a-z0-9.-]+")
_MAX_CHARS: Final = 254


def email_clean(address: str) -> str:
    """`address` as it is stored: in small letters. ValidationError says what is wrong with it."""
    address = address.strip().lower()
    if not address.isascii() or "@xn--" in address or ".xn--" in address:
        raise ValidationError(
            _("Letters of other alphabets can pass for Latin ones. Write it in a–z, 0–9 and signs.")
        )
    try:
        validate_email(address)
    except ValidationError as error:
        raise ValidationError(_("This is not an e-mail address: name@example.com.")) from error
    if not _PLAIN.fullmatch(address) or len(address) > _MAX_CHARS:
        raise ValidationError(
            _("Only letters, digits, and . _ + - in the middle, can stand before the @.")
        )
    return address
