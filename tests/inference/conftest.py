from __future__ import annotations

from decimal import Decimal

import pytest

from billing.services import rate_set
from inference import control
from inference.models import Backend, Model, Region, Task
from tests.conftest import Cast


@pytest.fixture
def backend(cast: Cast, region: Region) -> Backend:
    return control.backend_register(
        actor=cast.oskar,
        name="gpu-1",
        base_url="http://127.0.0.1:9/",
        engine="vllm",
        region=region,
        key="engine-secret",
    )


@pytest.fixture
def model(cast: Cast, backend: Backend) -> Model:
    """An enabled model, priced and deployed on `backend`."""
    model = control.model_create(
        actor=cast.oskar,
        public_id="tiny-llama",
        name="Tiny Llama",
        tasks=[Task.CHAT],
        context_tokens=2048,
        owned_by="Sluice",
    )
    for component in model.components:
        rate_set(actor=cast.oskar, model="tiny-llama", component=component, price=Decimal("0.5"))
    control.model_deploy(actor=cast.oskar, model=model, backend=backend, engine_model="llama")
    return control.model_set_enabled(actor=cast.oskar, model=model, enabled=True)
