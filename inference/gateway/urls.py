"""The paths of the gateway. A trailing slash serves the same, nothing redirects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from inference.gateway import views
from inference.gateway.endpoints import ENDPOINTS
from inference.gateway.errors import ANTHROPIC
from inference.gateway.handler import Target
from inference.gateway.leaks import LeakView

_MODEL: Final = "/v1/models/"

_PATHS: Final[Mapping[str, Target]] = {
    "/healthz": Target("healthz", views.HealthView.target()),
    "/readyz": Target("readyz", views.ReadyView.target()),
    "/metrics": Target("metrics", views.MetricsView.target()),
    "/openapi.json": Target("openapi", views.OpenApiView.target()),
    "/v1/secret-scanning/report": Target("leaks", LeakView.target()),
    "/v1/models": Target("models", views.ModelListView.target()),
    **{
        f"/v1/{path}": Target(
            path, views.EndpointView.target(endpoint=row), surface=row.surface, limit=row.limit
        )
        for path, row in ENDPOINTS.items()
    },
}
_model_view: Final = views.ModelView.target()
_UNKNOWN: Final = Target("unknown", views.UnknownPathView.target())
_STORED: Final = Target("unknown", views.StoredResponseView.target())
_UNKNOWN_MESSAGES: Final = _UNKNOWN._replace(surface=ANTHROPIC)
_NOT_SERVED: Final = Target("not served", views.NotServedView.target())


def resolve(path: str) -> Target:
    """Where `path` leads; ids of models may hold slashes."""
    path = path.rstrip("/")
    if target := _PATHS.get(path):
        return target
    if path.startswith(_MODEL):
        return Target("model", _model_view, {"model": path.removeprefix(_MODEL)})
    if path.startswith("/v1/messages/"):
        return _UNKNOWN_MESSAGES
    if path.startswith("/v1/responses/"):
        return _STORED
    return _UNKNOWN if path == "/v1" or path.startswith("/v1/") else _NOT_SERVED
