"""Mails to people: each is written once, and sent as text and as HTML.

A mail is a template `mails/<name>.txt` of plain text in parts: `subject`, `body`, `action` (what
its link does) and `why` (who gets it, and why). `mails/base.txt` and `mails/base.html` lay out all
of them. It leaves after the act that it tells of, by the worker, which tries again for a day.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from smtplib import SMTPException
from typing import Any
from urllib.parse import urlsplit

import structlog
from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.db import transaction
from django.template import Context, Engine
from django.template.loader import render_to_string
from kombu.exceptions import OperationalError
from redis import RedisError

from console.celery import app
from tenants.models import new_id
from tenants.sealing import seal, unseal

log = structlog.get_logger()


@dataclass(frozen=True)
class Mail:
    """One mail to one person. `id` is its Message-ID's: one that was sent twice is seen once."""

    id: str
    to: str
    subject: str
    text: str
    html: str


def mails_stay_here() -> bool:
    """Whether nothing sends them: they lie in a folder, and the mailbox shows them to anyone."""
    return bool(settings.MAIL_FOLDER)


def mail_send(mail: str, /, *, to: Sequence[str], url: str = "", **context: Any) -> None:
    """Send `mails/<mail>.txt` to each address of `to`, once the transaction has committed.

    `url` is an absolute address, or a path of the console; the mail shows it as its action.
    """
    for address in to:
        written = mail_write(mail, to=address, url=url, context=context)
        transaction.on_commit(partial(_hand_over, written), robust=True)


def mail_write(name: str, *, to: str, url: str, context: Mapping[str, Any]) -> Mail:
    if url.startswith("/"):
        url = settings.CONSOLE_URL + url
    usual = {"site_name": settings.SITE_NAME, "email": to, "url": url}
    parts = ("subject", "body", "why", "action") if url else ("subject", "body", "why")
    said = {part: _paragraphs(_part(name, part, usual | dict(context))) for part in parts}
    subject = " ".join(said["subject"])
    laid_out = usual | said | {"subject": subject}
    return Mail(
        id=f"<{new_id()}@{urlsplit(settings.CONSOLE_URL).hostname}>",
        to=to,
        subject=subject,
        text=render_to_string("mails/base.txt", laid_out).strip() + "\n",
        html=render_to_string("mails/base.html", laid_out),
    )


def _part(name: str, part: str, context: Mapping[str, Any]) -> str:
    """A part as plain text: nothing in it is escaped yet."""
    template = Engine.get_default().get_template(f"mails/{name}.txt#{part}")
    return template.render(Context(dict(context), autoescape=False))


def _paragraphs(text: str) -> list[str]:
    """Lines that belong together become one; what an empty line parts stays apart."""
    return [" ".join(lines.split()) for lines in text.strip().split("\n\n")]


def _hand_over(mail: Mail) -> None:
    """To the worker, sealed: a link in a mail may be as good as a password."""
    try:
        mail_deliver.apply_async((sealed(mail),), retry=False)
    except (OperationalError, RedisError):
        log.warning("mail.sent_without_worker")
        mail_deliver(sealed(mail))


def sealed(mail: Mail) -> str:
    return seal(json.dumps(asdict(mail))).decode()


def unsealed(text: str) -> Mail:
    return Mail(**json.loads(unseal(text.encode())))


@app.task(
    autoretry_for=(OSError, SMTPException), retry_backoff=10, retry_backoff_max=3600, max_retries=30
)
def mail_deliver(text: str) -> None:
    """Send a sealed mail, and try again for a day while no mail server takes it."""
    mail = unsealed(text)
    message = EmailMultiAlternatives(
        mail.subject, mail.text, to=[mail.to], headers={"Message-ID": mail.id}
    )
    message.attach_alternative(mail.html, "text/html")
    message.send()
