from __future__ import annotations

import pytest

from inference import control
from inference.models import Backend, BackendState, Region
from inference.probes import backend_check, backends_check
from tenants.valkey import SNAPSHOT_CHANNEL, client
from tests import fake_vllm
from tests.conftest import Cast


def register(cast: Cast, region: Region, url: str, key: str = "") -> Backend:
    return control.backend_register(
        actor=cast.oskar, name="gpu-2", base_url=url, engine="vllm", region=region, key=key
    )


def test_an_engine_that_runs_names_its_models(cast: Cast, region: Region) -> None:
    with fake_vllm.running(model="tiny") as engine:
        check = backend_check(register(cast, region, engine.url))
    assert check.ok
    assert check.models == ("tiny",)
    assert not check.error


def test_a_dead_engine_is_said_to_be_so(backend: Backend) -> None:
    check = backend_check(backend)
    assert not check.ok
    assert check.error == "Could not connect."


@pytest.mark.parametrize(("key", "ok"), [("right", True), ("wrong", False), ("", False)])
def test_the_engines_key_is_sent(cast: Cast, region: Region, key: str, ok: bool) -> None:
    with fake_vllm.running(model="tiny", api_keys=("right",)) as engine:
        check = backend_check(register(cast, region, engine.url, key))
    assert check.ok is ok
    assert ok or check.error == "The engine refused our key."


def test_a_check_is_kept_and_a_change_is_announced(cast: Cast, backend: Backend) -> None:
    with client().pubsub() as announcements:  # type: ignore[no-untyped-call]
        announcements.subscribe(SNAPSHOT_CHANNEL)
        assert announcements.get_message(timeout=2)  # the subscription itself
        assert backends_check() == 0
        assert announcements.get_message(timeout=2)
        assert backends_check() == 0
        assert announcements.get_message(timeout=0.2) is None
    backend.refresh_from_db()
    assert backend.healthy is False
    assert backend.checked_at is not None
    assert backend.check_error == "Could not connect."


def test_a_disabled_backend_is_left_alone(cast: Cast, backend: Backend) -> None:
    control.backend_set_state(actor=cast.oskar, backend=backend, state=BackendState.DISABLED)
    backends_check()
    backend.refresh_from_db()
    assert backend.checked_at is None
