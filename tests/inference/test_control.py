from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest
from django.core.exceptions import ValidationError

from inference import control
from inference.control import ModelFacts
from inference.models import Backend, BackendState, Deployment, Model, ModelStatus, Task
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


def test_an_enabled_model_gets_no_task_that_has_no_price(model: Model, cast: Cast) -> None:
    facts: Any = {"name": "Tiny", "context_tokens": 2048, "owned_by": "Sluice"}
    with pytest.raises(ValidationError, match="rate for every component"):
        control.model_update(
            actor=cast.oskar, model=model, **facts, tasks=[Task.CHAT, Task.TRANSCRIPTION]
        )


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


# Changes of a model

FACTS: ModelFacts = {
    "name": "Tiny Llama",
    "tasks": [Task.CHAT],
    "context_tokens": 2048,
    "owned_by": "Sluice",
}


def last() -> AuditEntry:
    return AuditEntry.objects.latest("id")


def test_what_changes_of_a_model_is_on_record_before_and_after(model: Model, cast: Cast) -> None:
    control.model_update(
        actor=cast.oskar,
        model=model,
        **FACTS | {"licence": "MIT", "release_date": date(2026, 1, 2)},
    )
    assert (last().action, last().data) == (
        "model.update",
        {"changes": {"licence": ["", "MIT"], "release_date": [None, "2026-01-02"]}},
    )


def test_saying_the_same_again_leaves_no_record(model: Model, cast: Cast) -> None:
    before = last()
    control.model_update(actor=cast.oskar, model=model, **FACTS)
    assert last() == before


def test_a_name_belongs_to_one_model(model: Model, cast: Cast) -> None:
    control.model_update(actor=None, model=model, **FACTS | {"aliases": ["llama"]})
    for public_id, aliases in (("new", ["llama"]), ("new", ["tiny-llama"]), ("llama", [])):
        with pytest.raises(ValidationError, match="has one of these names already"):
            control.model_create(actor=None, public_id=public_id, **FACTS | {"aliases": aliases})
    with pytest.raises(ValidationError, match="once, and not the id itself"):
        control.model_update(actor=None, model=model, **FACTS | {"aliases": ["tiny-llama"]})
    with pytest.raises(ValidationError, match="Letters, digits"):
        control.model_update(actor=None, model=model, **FACTS | {"aliases": ["two words"]})


def test_a_model_is_deprecated_with_a_date_and_a_replacement(model: Model, cast: Cast) -> None:
    other = control.model_create(actor=None, public_id="newer", **FACTS)
    sunset = datetime(2027, 1, 1, tzinfo=UTC)
    since = model.status_since
    changed = control.model_set_status(
        actor=cast.oskar, model=model, status=ModelStatus.DEPRECATED, sunset_at=sunset,
        replacement=other,
    )  # fmt: skip
    assert changed.status_since > since
    assert last().data["changes"] == {
        "status": ["active", "deprecated"],
        "sunset_at": [None, "2027-01-01 00:00"],
        "replacement": [None, "newer"],
    }


def test_only_what_ends_has_a_sunset_and_nothing_replaces_itself(model: Model) -> None:
    with pytest.raises(ValidationError, match="Only a deprecated or retired model"):
        control.model_set_status(
            actor=None, model=model, status=ModelStatus.ACTIVE, sunset_at=datetime.now(UTC)
        )
    with pytest.raises(ValidationError, match="Choose another model"):
        control.model_set_status(
            actor=None, model=model, status=ModelStatus.RETIRED, replacement=model
        )


def test_a_model_is_shown_to_some_and_then_to_all(model: Model, cast: Cast) -> None:
    control.model_set_visibility(actor=cast.oskar, model=model, organizations=[cast.acme])
    assert list(Model.objects.for_organization(cast.acme)) == [model]
    assert list(Model.objects.for_organization(cast.rival)) == []
    assert last().data["changes"] == {"visible_to": [None, ["acme"]]}
    control.model_set_visibility(actor=cast.oskar, model=model, organizations=None)
    assert list(Model.objects.for_organization(cast.rival)) == [model]


def test_a_deployment_is_changed_and_removed_on_the_models_record(
    model: Model, backend: Backend, cast: Cast
) -> None:
    deployment = Deployment.objects.get()
    control.deployment_update(
        actor=cast.oskar, deployment=deployment, engine_model="llama", weight=3, revision="abc"
    )
    assert (last().action, last().target_id) == ("model.redeploy", str(model.pk))
    assert last().data == {
        "backend": "gpu-1", "changes": {"weight": [1, 3], "revision": ["", "abc"]},
    }  # fmt: skip
    control.deployment_remove(actor=cast.oskar, deployment=deployment)
    assert (last().action, last().data["backend"]) == ("model.undeploy", "gpu-1")
    assert not Deployment.objects.exists()


def test_a_model_is_deployed_once_on_a_backend(model: Model, backend: Backend) -> None:
    with pytest.raises(ValidationError):
        control.model_deploy(actor=None, model=model, backend=backend, engine_model="llama")
