"""The same `Idempotency-Key` does a thing once: the answer of the first time is given again.

The key is written in the transaction of the act, so that a second request waits for the first,
and what failed left nothing behind and can be sent again.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Final, NamedTuple

from celery import shared_task
from django.db import OperationalError, connection, transaction
from django.utils import timezone
from psycopg.errors import LockNotAvailable
from rest_framework.request import Request

from console.api.callers import Caller, Operator
from console.api.errors import IdempotencyReused
from console.models import IdempotentAnswer
from inference.gateway.errors import InvalidRequest
from tenants.sealing import seal, unseal

HEADER: Final = "Idempotency-Key"
KEPT: Final = timedelta(hours=24)
WAITS_MS: Final = 10_000
"""How long a request waits for another of the same key."""
_KEY: Final = re.compile(r"[\x20-\x7e]{1,255}")


class Done(NamedTuple):
    answer: bytes
    is_replayed: bool


def once(caller: Caller | Operator, request: Request, act: Callable[[], bytes]) -> Done:
    """Do all of `act` or nothing, unless that was done.

    Raises IdempotencyReused when something else was asked.
    """
    key = request.headers.get(HEADER)
    if key is None:
        with transaction.atomic():
            return Done(act(), is_replayed=False)
    if not _KEY.fullmatch(key):
        raise InvalidRequest(f"`{HEADER}` is 1 to 255 characters of ASCII.", param=HEADER)
    return _once(caller, key, _asked(caller, request), act)


@transaction.atomic
def _once(caller: Caller | Operator, key: str, asked: bytes, act: Callable[[], bytes]) -> Done:
    now = timezone.now()
    mine = IdempotentAnswer.objects.filter(caller=caller.id, key=key)
    mine.filter(expires_at__lte=now).delete()
    row, is_new = _row(caller, key, {"asked": asked, "expires_at": now + KEPT})
    if bytes(row.asked) != asked:
        raise IdempotencyReused(
            "This key was sent with another request. Choose a new key for what is new."
        )
    if not is_new:
        return Done(unseal(bytes(row.sealed_answer)).encode(), is_replayed=True)
    answer = act()
    row.sealed_answer = seal(answer.decode())
    row.save(update_fields=["sealed_answer"])
    return Done(answer, is_replayed=False)


def _row(
    caller: Caller | Operator, key: str, facts: dict[str, object]
) -> tuple[IdempotentAnswer, bool]:
    """The row of the key, and whether it is new; it waits for whoever is making one."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT set_config('lock_timeout', %s, true)", [str(WAITS_MS)])
            made = IdempotentAnswer.objects.get_or_create(
                caller=caller.id,
                key=key,
                defaults={"organization": caller.organization, **facts},
            )
            cursor.execute("SET LOCAL lock_timeout TO DEFAULT")
    except OperationalError as error:
        if not isinstance(error.__cause__, LockNotAvailable):
            raise
        raise IdempotencyReused("A request with this key is still being worked on.") from None
    return made


def _asked(caller: Caller | Operator, request: Request) -> bytes:
    organization = caller.organization.pk if caller.organization else ""
    told = f"{organization} {request.get_full_path()} {len(request.body)} "
    return hashlib.sha256(told.encode() + request.body).digest()


@shared_task
def answers_forget() -> None:
    IdempotentAnswer.objects.filter(expires_at__lte=timezone.now()).delete()
