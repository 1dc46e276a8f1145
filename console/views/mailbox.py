"""The mails that lie in MAIL_FOLDER: for trying Sluice on one machine, where no mail server is."""

from __future__ import annotations

from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from console.mails import mails_stay_here

SHOWN: Final = 20
_PARTED_BY: Final = b"\n" + b"-" * 79 + b"\n"


class Letter(NamedTuple):
    to: str
    subject: str
    at: str
    text: str


@require_safe
@never_cache
def mailbox(request: HttpRequest) -> HttpResponse:
    """The newest mails first; 404 where mails are sent."""
    if not mails_stay_here():
        raise Http404
    letters = list(islice(letters_in(Path(settings.MAIL_FOLDER)), SHOWN))
    return render(request, "console/account/mailbox.html", {"letters": letters})


def letters_in(folder: Path) -> Iterator[Letter]:
    files = sorted(folder.glob("*.log"), key=lambda file: file.stat().st_mtime_ns, reverse=True)
    for file in files:
        for raw in reversed(file.read_bytes().split(_PARTED_BY)):
            if raw.strip():
                yield _letter(message_from_bytes(raw, policy=policy.default))


def _letter(message: EmailMessage) -> Letter:
    body = message.get_body(preferencelist=("plain",))
    text = body.get_content() if body else ""
    return Letter(message["To"], message["Subject"], message["Date"], text)
