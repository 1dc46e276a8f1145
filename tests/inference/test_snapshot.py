from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from billing.models import LIST_EUR, LIST_SEK, Currency, Plan, Terms
from billing.price_books import list_book
from billing.pricing import UnitPrice
from billing.services import rate_set
from inference import control, snapshot
from inference.gateway.database import in_thread
from inference.gateway.errors import KeyMayNot
from inference.gateway.routing import model_for
from inference.models import Backend, BackendState, Deployment, Model, ModelStatus, Task
from inference.snapshot import KeyEntry, Snapshot, snapshot_load
from tenants import keys, services
from tenants.services import NewKey
from tests.conftest import Cast


def entry_of(snapshot: Snapshot, key: NewKey) -> KeyEntry:
    return snapshot.keys[keys.key_digest(key.secret)]


def test_a_key_speaks_for_its_organization_and_project(cast: Cast) -> None:
    entry = snapshot_load().keys[keys.key_digest(cast.key.secret)]
    assert (entry.organization_id, entry.project_id) == (cast.acme.id, cast.project.id)


@pytest.mark.django_db(transaction=True)
def test_what_changes_while_it_is_read_is_not_half_in_it(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key is not with prices of before: its terms and they are read one after the other."""
    read = snapshot._keys

    def late(now: datetime) -> Any:
        add = in_thread(services.api_key_create)
        with ThreadPoolExecutor(1) as pool:
            pool.submit(add, actor=cast.olivia, project=cast.project, name="late").result()
        return read(now)

    before = set(snapshot_load().keys)
    monkeypatch.setattr(snapshot, "_keys", late)
    assert set(snapshot_load().keys) == before
    monkeypatch.undo()
    assert len(snapshot_load().keys) == len(before) + 1


def test_a_revoked_key_is_not_in_it(cast: Cast) -> None:
    services.api_key_revoke(actor=cast.olivia, api_key=cast.key.api_key)
    assert keys.key_digest(cast.key.secret) not in snapshot_load().keys


def test_a_model_comes_with_its_prices_and_routes(model: Model, backend: Backend) -> None:
    entry = snapshot_load().models["tiny-llama"]
    assert [(r.backend, r.base_url, r.engine_model, r.key) for r in entry.routes] == [
        ("gpu-1", "http://127.0.0.1:9", "llama", "engine-secret")
    ]
    assert entry.prices[LIST_EUR].input == UnitPrice(Decimal("0.5"), 1_000_000)


def test_the_backends_key_is_sealed_at_rest_and_not_printed(model: Model, backend: Backend) -> None:
    assert b"engine-secret" not in bytes(backend.sealed_key)
    assert "engine-secret" not in repr(snapshot_load())


@pytest.mark.parametrize("state", [BackendState.DRAINING, BackendState.DISABLED])
def test_a_backend_that_drains_or_is_disabled_gets_no_work(
    model: Model, backend: Backend, cast: Cast, state: BackendState
) -> None:
    control.backend_set_state(actor=cast.oskar, backend=backend, state=state)
    assert snapshot_load().models["tiny-llama"].routes == ()


def test_a_model_without_a_full_set_of_rates_cannot_be_served(model: Model, cast: Cast) -> None:
    unpriced = control.model_create(
        actor=cast.oskar,
        public_id="unpriced",
        name="Unpriced",
        tasks=[Task.CHAT],
        context_tokens=2048,
        owned_by="Sluice",
    )
    Model.objects.filter(pk=unpriced.pk).update(is_enabled=True)
    assert set(snapshot_load().models) == {"tiny-llama"}


def test_a_model_is_sold_to_whom_it_has_all_prices_for(model: Model, cast: Cast) -> None:
    Terms.objects.create(organization=cast.acme, currency=Currency.SEK)
    snapshot = snapshot_load()
    assert snapshot.model("tiny-llama", entry_of(snapshot, cast.key)) is None
    for component in model.components:
        rate_set(
            actor=None, model="tiny-llama", component=component, price=Decimal(6),
            book=list_book(Currency.SEK),
        )  # fmt: skip
    snapshot = snapshot_load()
    sold = snapshot.model("tiny-llama", entry_of(snapshot, cast.key))
    assert sold
    assert entry_of(snapshot, cast.key).terms.currency == "SEK"
    assert sold.prices[LIST_SEK].output == UnitPrice(Decimal(6), 1_000_000)
    assert set(sold.prices) == {LIST_EUR, LIST_SEK}


def test_a_model_beyond_its_plan_is_refused_by_name(model: Model, cast: Cast) -> None:
    Plan.objects.filter(slug="free").update(models=["small"])
    Terms.objects.create(organization=cast.acme, plan=Plan.objects.get(slug="free"))
    snapshot = snapshot_load()
    with pytest.raises(KeyMayNot, match="plan of your organization does not include"):
        model_for(snapshot, entry_of(snapshot, cast.key), "tiny-llama", Task.CHAT)


def test_a_disabled_model_is_not_in_it(model: Model, cast: Cast) -> None:
    control.model_set_enabled(actor=cast.oskar, model=model, enabled=False)
    assert snapshot_load().models == {}


def test_an_alias_names_the_same_model(model: Model) -> None:
    Model.objects.update(aliases=["llama"])
    snapshot = snapshot_load()
    assert snapshot.names["llama"] is snapshot.names["tiny-llama"] is snapshot.models["tiny-llama"]
    assert "llama" not in snapshot.models


def test_a_retired_model_is_not_served_but_remembered(model: Model, cast: Cast) -> None:
    control.model_set_status(actor=None, model=model, status=ModelStatus.RETIRED)
    snapshot = snapshot_load()
    assert (snapshot.models, snapshot.names) == ({}, {})
    assert snapshot.retired_model("tiny-llama", cast.acme.id)


def test_a_model_for_one_organization_is_nothing_to_another(model: Model, cast: Cast) -> None:
    control.model_set_visibility(actor=None, model=model, organizations=[cast.acme])
    snapshot = snapshot_load()
    acme, rival = (entry_of(snapshot, key) for key in (cast.key, cast.rival_key))
    assert snapshot.model("tiny-llama", acme)
    assert snapshot.model("tiny-llama", rival) is None


def test_a_route_weighs_what_deployment_and_backend_weigh_together(model: Model) -> None:
    Deployment.objects.update(weight=3)
    Backend.objects.update(weight=5)
    assert [route.weight for route in snapshot_load().models["tiny-llama"].routes] == [15]


def test_a_deployment_that_is_switched_off_gets_no_work(model: Model) -> None:
    Deployment.objects.update(is_enabled=False)
    assert snapshot_load().models["tiny-llama"].routes == ()
