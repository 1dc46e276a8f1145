from __future__ import annotations

import pytest
from django.core.exceptions import ValidationError

from inference import control
from inference.models import Backend, BackendState, Model, Task
from tenants.models import AuditEntry
from tests.conftest import Cast


def test_a_model_cannot_be_enabled_before_it_is_priced(cast: Cast) -> None:
    model = control.model_create(
        actor=cast.oskar,
        public_id="new",
        name="New",
        tasks=[Task.CHAT],
        context_tokens=2048,
        owned_by="Sluice",
    )
    with pytest.raises(ValidationError, match="rate for every component"):
        control.model_set_enabled(actor=cast.oskar, model=model, enabled=True)


def test_a_model_id_that_no_sdk_could_send_is_refused(cast: Cast) -> None:
    with pytest.raises(ValidationError):
        control.model_create(
            actor=cast.oskar,
            public_id="two words",
            name="New",
            tasks=[Task.CHAT],
            context_tokens=2048,
            owned_by="Sluice",
        )


def test_each_act_on_a_backend_is_on_record_without_its_key(backend: Backend, cast: Cast) -> None:
    control.backend_set_state(actor=cast.oskar, backend=backend, state=BackendState.DRAINING)
    entries = AuditEntry.objects.filter(target_type="backend").order_by("id")
    assert [entry.action for entry in entries] == ["backend.register", "backend.set_state"]
    assert entries[1].data == {"before": "active", "after": "draining"}
    assert "engine-secret" not in str([entry.data for entry in entries])


def test_enabling_a_model_is_on_record(model: Model, cast: Cast) -> None:
    entry = AuditEntry.objects.get(action="model.enable")
    assert (entry.actor, entry.target_id) == (cast.oskar, str(model.pk))
