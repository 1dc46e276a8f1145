"""Idempotency as v1 of the API has it.

The first answer of a key is kept, whatever its status, once an endpoint began: refused parameters,
conflicts and rate limits are not. With other parameters, or at another path, a key is refused; one
whose request still runs gives 409; after 24 hours a key is new.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final

from console.fakestripe.account import Account
from console.fakestripe.http import Object, Refusal, Request, Response

KEPT_S: Final = 24 * 3600
LONGEST_KEY: Final = 255


def recall(account: Account, key: str, request: Request) -> Response | None:
    """The answer that `key` had; None when it is new. Raises Refusal."""
    if len(key) > LONGEST_KEY:
        message = f"Idempotency keys can be at most {LONGEST_KEY} characters."
        raise Refusal(400, "idempotency_error", message)
    kept = _find(account, key)
    if kept is None:
        return None
    if kept["path"] != request.path:
        raise Refusal(
            400,
            "idempotency_error",
            "Keys for idempotent requests can only be used for the same endpoint they were first "
            f"used for ('{kept['path']}' vs '{request.path}'). Try using a key other than '{key}' "
            "if you meant to execute a different request.",
        )
    if kept["digest"] != digest(request):
        raise Refusal(
            400,
            "idempotency_error",
            "Keys for idempotent requests can only be used with the same parameters they were "
            f"first used with. Try using a key other than '{key}' if you meant to execute a "
            "different request.",
        )
    if kept["status"] is None:
        raise in_progress(key)
    headers = {"idempotent-replayed": "true", "original-request": kept["request_id"]}
    return Response(kept["status"], kept["body"].encode(), headers)


def in_progress(key: str) -> Refusal:
    message = (
        "There is currently another in-progress request using this Idempotent Key (that probably "
        f"means you submitted twice, and the other request is still going through): {key}. Please "
        "try again later."
    )
    return Refusal(409, "idempotency_error", message, code="idempotency_key_in_use")


def begin(account: Account, key: str, request: Request) -> None:
    """From now on other requests with `key` wait."""
    kept: Object = {"id": _id(key), "object": "_key", "path": request.path, "status": None}
    kept |= {"digest": digest(request), "at": account.now(), "body": "", "request_id": ""}
    account.put(kept)


def keep(account: Account, key: str, request_id: str, response: Response) -> None:
    body = response.body.decode()
    begun = account.store.find(_id(key)) or {}
    account.put(begun | {"status": response.status, "body": body, "request_id": request_id})


def forget(account: Account, key: str) -> None:
    """The request was refused before its endpoint began."""
    account.store.remove(_id(key))


def _find(account: Account, key: str) -> Object | None:
    kept = account.store.find(_id(key))
    if kept and kept["at"] + KEPT_S <= account.now() and kept["status"] is not None:
        account.store.remove(_id(key))
        return None
    return kept


def _id(key: str) -> str:
    return f"key:{key}"


def digest(request: Request) -> str:
    """Of the parameters, whatever their order."""
    pairs: Any = sorted(part for part in request.body.split("&") if part)
    return hashlib.sha256(json.dumps(pairs).encode()).hexdigest()
