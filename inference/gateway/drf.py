"""DRF's view made asynchronous and lean.

It keeps DRF's authentication classes, permission classes, exception handler and schema, and awaits
them. It does no content negotiation, no parsing and no rendering: the gateway speaks JSON alone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Protocol, override

from django.http import HttpResponse, HttpResponseBase
from rest_framework.views import APIView

from inference.gateway.errors import InvalidApiKey, MethodNotAllowed, exception_handler
from inference.gateway.handler import GatewayRequest

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"})
"""Those that a view may have; other cases of their letters are other methods."""

type Handler = Callable[..., Awaitable[HttpResponseBase]]


class Authentication(Protocol):
    async def authenticate(self, request: GatewayRequest) -> tuple[Any, Any] | None: ...


class Permission(Protocol):
    async def has_permission(self, request: GatewayRequest, view: AsyncAPIView) -> bool: ...


class AsyncAPIView(APIView):
    """A view whose handlers, authentication and permissions are coroutines."""

    authentication_classes: Sequence[type[Authentication]] = ()  # type: ignore[assignment]  # awaited
    permission_classes: Sequence[type[Permission]] = ()  # type: ignore[assignment]  # awaited

    @override
    async def dispatch(  # type: ignore[override]  # awaited
        self, request: GatewayRequest, *args: Any, **kwargs: Any
    ) -> HttpResponseBase:
        try:
            request.head_check()
            is_large = request.is_large
            if not is_large:
                await request.body_read()
            await self.perform_authentication(request)
            await self.check_permissions(request)
            if is_large:
                await request.body_read()
            return await self._handler(request)(request, *args, **kwargs)
        except Exception as error:
            return self.handle_exception(error)

    @override
    async def perform_authentication(self, request: GatewayRequest) -> None:  # type: ignore[override]
        for authentication in self.authentication_classes:
            if found := await authentication().authenticate(request):
                request.auth = found[1]
                return

    @override
    async def check_permissions(self, request: GatewayRequest) -> None:  # type: ignore[override]
        for permission in self.permission_classes:
            if not await permission().has_permission(request, self):
                raise InvalidApiKey

    @override
    def handle_exception(self, exc: Exception) -> HttpResponse:  # type: ignore[override]
        return exception_handler(exc, {"view": self, "request": self.request})

    def _handler(self, request: GatewayRequest) -> Handler:
        method = request.method or ""
        handler = getattr(self, method.lower(), None) if method in METHODS else None
        if handler is None:
            raise MethodNotAllowed.instead_use(self._methods())
        found: Handler = handler
        return found

    @classmethod
    def target(cls, **initkwargs: Any) -> Handler:
        """`as_view` without Django's wrapping: no form to forge, no `options` of its own."""

        async def view(request: GatewayRequest, **kwargs: Any) -> HttpResponseBase:
            self = cls(**initkwargs)
            self.setup(request, **kwargs)
            return await self.dispatch(request, **kwargs)

        return view

    @classmethod
    def _methods(cls) -> list[str]:
        names = (name.upper() for name in cls.http_method_names)
        return [name for name in names if name in METHODS and hasattr(cls, name.lower())]
