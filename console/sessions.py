"""Sessions: sealed in the database, and over after some time without work, or in any case.

Their tokens are in the cookies alone. The database holds a digest of each: nobody who reads it can
come in with what is there.

| Who | Without a request | In any case |
|---|---|---|
| operators | 30 minutes | 12 hours |
| customers | 12 hours | 7 days |
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from typing import Any, Final, override

import psycopg
from allauth.usersessions.models import UserSession
from cryptography.fernet import InvalidToken
from django.conf import settings
from django.contrib.auth import logout
from django.contrib.sessions import middleware
from django.contrib.sessions.backends import db
from django.http import HttpRequest, HttpResponseBase
from django.utils.encoding import force_bytes
from psycopg.adapt import Dumper

from tenants.models import User
from tenants.sealing import seal, unseal

NOTED_EVERY_S: Final = 60
"""A request is noted in its session at most so often: each note is a write."""

_BEGAN: Final = "began_at"
_SEEN: Final = "seen_at"
_IDLE_S: Final = {True: 30 * 60, False: 12 * 3600}
_LASTS_S: Final = {True: 12 * 3600, False: 7 * 86400}
_KEPT: Final = "#"
"""What a digest begins with, and no token does."""


class Token(str):
    """The key of a session as a cookie holds it. In PostgreSQL it is `kept`, to all queries."""

    __slots__ = ()

    @property
    def kept(self) -> str:
        """40 characters, the most that a key may have: 156 bits of the digest."""
        return _KEPT + hashlib.sha256(self.encode()).hexdigest()[:39]

    @override
    def __eq__(self, other: object) -> bool:
        """Also to what was read from the database."""
        return str.__eq__(self, other) is True or self.kept == other

    __hash__ = str.__hash__


class TokenDumper(Dumper):
    oid = psycopg.adapters.types["text"].oid

    @classmethod
    def register(cls) -> None:
        psycopg.adapters.register_dumper(Token, cls)

    @override
    def dump(self, obj: Token) -> bytes:
        return obj.kept.encode()


class SessionStore(db.SessionStore):
    """As Django's, but nobody who reads the database reads what is in a session.

    A form that waits until its sender has shown who they are may hold a secret.
    """

    def __init__(self, session_key: str | None = None) -> None:
        is_token = session_key is not None and not session_key.startswith(_KEPT)
        super().__init__(Token(session_key) if is_token else session_key)

    def _get_new_session_key(self) -> str:
        key: str = super()._get_new_session_key()  # type: ignore[misc] # the stubs lack it
        return Token(key)

    async def _aget_new_session_key(self) -> str:
        key: str = await super()._aget_new_session_key()  # type: ignore[misc] # the stubs lack it
        return Token(key)

    @override
    def encode(self, session_dict: dict[str, Any]) -> str:
        return seal(json.dumps(session_dict)).decode()

    @override
    def decode(self, session_data: bytes | str) -> dict[str, Any]:
        """Nothing, where the key it was sealed with is gone: its person logs in again."""
        try:
            return dict(json.loads(unseal(force_bytes(session_data))))
        except InvalidToken:
            return {}


class SessionMiddleware(middleware.SessionMiddleware):
    """As Django's, but what the database holds is nobody's cookie."""

    @override
    def process_request(self, request: HttpRequest) -> None:
        if request.COOKIES.get(settings.SESSION_COOKIE_NAME, "").startswith(_KEPT):
            del request.COOKIES[settings.SESSION_COOKIE_NAME]
        super().process_request(request)


class SessionAgeMiddleware:
    """Ends the sessions whose time is over, and notes when and where the others were last seen."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if isinstance(request.user, User):
            now = time.time()
            if is_over(request.session, is_staff=request.user.is_staff, now=now):
                logout(request)
            elif now - request.session.get(_SEEN, now) >= NOTED_EVERY_S:
                _note(request, now)
        return self.get_response(request)


def begin(session: Any) -> None:
    """Its times count from now: somebody has logged in."""
    session[_BEGAN] = session[_SEEN] = time.time()


def is_over(session: Any, *, is_staff: bool, now: float) -> bool:
    """Whether nobody used `session` for too long, or it is too old however much it was used."""
    idle_s = now - session.get(_SEEN, now)
    age_s = now - session.get(_BEGAN, now)
    return bool(idle_s >= _IDLE_S[is_staff] or age_s >= _LASTS_S[is_staff])


def _note(request: HttpRequest, now: float) -> None:
    request.session[_SEEN] = now
    UserSession.objects.create_from_request(request)
