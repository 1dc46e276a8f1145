"""The views of the gateway: generations, models, and what a platform asks of a process."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from django.http import HttpResponse, HttpResponseBase
from prometheus_client import CONTENT_TYPE_LATEST

from inference.gateway.answers import event_stream, whole_answer
from inference.gateway.auth import ApiKeyAuthentication, HasKey, may_scrape
from inference.gateway.bounds import Sent
from inference.gateway.catalogue import model_document, model_documents
from inference.gateway.drf import AsyncAPIView, Authentication, Permission
from inference.gateway.endpoint import Endpoint
from inference.gateway.endpoints import ENDPOINTS, NOT_YET
from inference.gateway.errors import (
    BodyTooLarge,
    Draining,
    InvalidApiKey,
    NothingStored,
    UnknownPath,
    WrongMetricsToken,
)
from inference.gateway.exchange import Exchange
from inference.gateway.handler import GatewayRequest
from inference.gateway.images import check_images
from inference.gateway.routing import model_for, model_named
from inference.limits import Limits
from inference.snapshot import KeyEntry

JSON: Final = "application/json"


class KeyView(AsyncAPIView):
    """A view for those who have an API key."""

    authentication_classes: Sequence[type[Authentication]] = (ApiKeyAuthentication,)
    permission_classes: Sequence[type[Permission]] = (HasKey,)


class EndpointView(KeyView):
    """POST to an engine. Each path of `ENDPOINTS` is this view with its row."""

    endpoint: Endpoint[Any] | None = None

    async def post(self, request: GatewayRequest) -> HttpResponseBase:
        assert self.endpoint, "as_view takes the row"  # noqa: S101
        endpoint, content_type = self.endpoint, request.header(b"content-type")
        body = await request.work(lambda: endpoint.read(request.data, content_type))
        key, snapshot = key_of(request), request.gateway.keeper.snapshot
        model = model_for(snapshot, key, body.model, endpoint.task)
        check_size(len(request.data), model.limits)
        param = endpoint.renamed.get("messages", "messages")
        shown = await request.work(lambda: check_images(endpoint.images(body), param, model.limits))
        sent = Sent(len(request.data) - shown.url_chars, shown.images)
        exchange = Exchange(request, key, endpoint, model, body, sent)
        return await (event_stream if body.stream else whole_answer)(exchange)


class ModelListView(KeyView):
    """The models that your key can call."""

    async def get(self, request: GatewayRequest) -> HttpResponse:
        models = model_documents(request.gateway.keeper.snapshot, key_of(request))
        return json_response({"object": "list", "data": models})

    head = get


class ModelView(KeyView):
    """One model, by its id or an alias."""

    async def get(self, request: GatewayRequest, model: str) -> HttpResponse:
        key, snapshot = key_of(request), request.gateway.keeper.snapshot
        found = model_named(snapshot, key, model)
        return json_response(model_document(found, snapshot, key))

    head = get


class UnknownPathView(KeyView):
    """404 for those with a key; what paths there are is nobody else's business."""

    async def get(self, request: GatewayRequest) -> HttpResponse:
        path = request.path.removeprefix("/v1/").strip("/")
        is_known = any(path == name or path.startswith(f"{name}/") for name in NOT_YET)
        text = "This API does not have" if is_known else "Unknown path:"
        text += f" {request.path[:200]}{' yet' if is_known else ''}. It has /v1/models, "
        text += ", ".join(f"/v1/{path}" for path in ENDPOINTS) + "."
        raise UnknownPath(text)

    head = post = put = patch = delete = get


class StoredResponseView(KeyView):
    """404 for what rests on a response that was stored."""

    async def get(self, request: GatewayRequest) -> HttpResponse:
        raise NothingStored

    head = post = put = patch = delete = get


class NotServedView(AsyncAPIView):
    """404 outside of /v1."""

    async def get(self, request: GatewayRequest) -> HttpResponse:
        raise UnknownPath("There is nothing here. The API is under /v1.")

    head = post = put = patch = delete = get


class OpenApiView(AsyncAPIView):
    """What there is, for machines. It needs no key."""

    async def get(self, request: GatewayRequest) -> HttpResponse:
        return HttpResponse(await asyncio.to_thread(_openapi), content_type=JSON)

    head = get


def _openapi() -> bytes:
    """What writes it takes a third of a second to import, so only whoever asks waits for that."""
    from inference.gateway.openapi import openapi_json

    return openapi_json()


class HealthView(AsyncAPIView):
    """The process lives."""

    async def get(self, request: GatewayRequest) -> HttpResponse:
        return json_response({"status": "ok"})

    head = get


class ReadyView(AsyncAPIView):
    """The process can serve: it knows keys and models. Raises NotReady before, Draining after."""

    async def get(self, request: GatewayRequest) -> HttpResponse:
        if request.gateway.drain.is_on:
            raise Draining
        taken_at = request.gateway.keeper.snapshot.taken_at
        return json_response({"status": "ready", "snapshot_taken_at": taken_at})

    head = get


class MetricsView(AsyncAPIView):
    """What Prometheus scrapes, of all processes of this gateway."""

    async def get(self, request: GatewayRequest) -> HttpResponse:
        if not may_scrape(request.header(b"authorization")):
            raise WrongMetricsToken
        metrics = await request.gateway.gauges.exposition()
        return HttpResponse(metrics, content_type=CONTENT_TYPE_LATEST)


def check_size(body_bytes: int, limits: Limits) -> None:
    """Raises BodyTooLarge for what the gateway would take and this model does not."""
    if body_bytes > limits.body_bytes:
        raise BodyTooLarge.over(limits.body_bytes)


def key_of(request: GatewayRequest) -> KeyEntry:
    """Whose key it is, behind a view that lets only keys in."""
    if request.auth is None:
        raise InvalidApiKey
    return request.auth


def json_response(document: Any) -> HttpResponse:
    return HttpResponse(msgspec.json.encode(document), content_type=JSON)
