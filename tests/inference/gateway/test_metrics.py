"""What Prometheus sees of a gateway of two processes, and what `deploy/` makes of it."""

from __future__ import annotations

import json
import os
import re
import signal
from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any, Final

import httpx2 as httpx
import promql_parser
import psutil
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from promql_parser import VectorSelector
from pytest_django.plugin import DjangoDbBlocker

from tests.fake_vllm import FakeVllm
from tests.inference.gateway.conftest import (
    MODEL,
    ROOT,
    Running,
    World,
    backend_add,
    chat,
    gateway_running,
    model_add,
    wait_until,
)

pytestmark = pytest.mark.django_db

CHAT: Final = "/v1/chat/completions"
SENT: Final = 14
"""Requests for MODEL that reach an engine."""
TWICE: Final = "twice"
"""It has two backends."""
RULES: Final = ROOT / "deploy/prometheus/rules.yml"
DASHBOARD: Final = ROOT / "deploy/grafana/sluice-gateway.json"
ADDED_BY_PROMETHEUS: Final = {"instance", "job"}

type Labels = Mapping[str, str]


@pytest.fixture(scope="module")
def _twice(world: World, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    with django_db_blocker.unblock():
        region, url = world.backend.region, world.engine.url
        backends = [backend_add(region, name, url) for name in ("first", "second")]
        model = model_add(TWICE, *backends)
        yield
        model.delete()
        for backend in backends:
            backend.delete()


@pytest.fixture(scope="module")
def pair(world: World, engine: FakeVllm, _twice: None) -> Iterator[Running]:
    """Two processes on one port, with some traffic behind them."""
    engine.reset()
    headers = {"Authorization": f"Bearer {world.cast.key.secret}", "Connection": "close"}
    with gateway_running(GATEWAY_WORKERS="2") as running:
        with httpx.Client(base_url=running.url, headers=headers, timeout=20) as http:
            http.post(CHAT, json=chat("!die 1") | {"model": TWICE})
            for number in range(12):
                http.post(CHAT, json=chat("one two !cached 2", max_tokens=4, stream=number % 2 > 0))
            http.post(CHAT, json=chat("!garbage"))
            http.post(CHAT, json=chat(max_tokens=100_000))
        yield running


def scrape(gateway: Running) -> dict[str, list[tuple[Labels, float]]]:
    """The samples by their names, on a connection of its own: whoever takes it answers."""
    text = httpx.get(f"{gateway.url}/metrics").text
    found = defaultdict[str, list[tuple[Labels, float]]](list)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name].append((sample.labels, sample.value))
    return found


def value(gateway: Running, name: str, **labels: str) -> float:
    """The sum of all samples of this name that have these labels."""
    wanted = labels.items()
    return sum(number for has, number in scrape(gateway)[name] if wanted <= has.items())


def workers(gateway: Running) -> list[psutil.Process]:
    found = psutil.Process(gateway.process.pid).children(recursive=True)
    return [one for one in found if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


def requests(gateway: Running, **labels: str) -> float:
    return value(gateway, "sluice_gateway_requests_total", **labels)


def test_whoever_answers_tells_of_all_processes(pair: Running) -> None:
    wait_until(lambda: requests(pair, model=MODEL, outcome="completed") == 12)
    for _ in range(10):
        assert requests(pair, model=MODEL, outcome="completed") == 12
        assert value(pair, "sluice_gateway_tokens_total", model=MODEL, kind="output") == 12 * 4
        assert value(pair, "sluice_gateway_tokens_total", model=MODEL, kind="cached") == 12 * 2


def test_each_request_is_counted_by_model_backend_region_and_end(pair: Running) -> None:
    place = {"backend": "alive", "region": "se-north"}
    wait_until(lambda: requests(pair, model=MODEL, outcome="refused", backend="") == 1)
    assert requests(pair, model=MODEL, outcome="completed", **place) == 12
    assert requests(pair, model=TWICE, outcome="failed", backend="") == 1
    assert requests(pair, model=MODEL, outcome="failed", backend="") == 1
    assert value(pair, "sluice_gateway_retries_total", model=TWICE, kind="closed") == 1
    assert value(pair, "sluice_gateway_upstream_failures_total", kind="closed") == 2
    for name, count in {"time_to_first_token": 6, "inter_token": 6, "request": 12}.items():
        assert value(pair, f"sluice_gateway_{name}_seconds_count", model=MODEL, **place) == count
    assert value(pair, "sluice_gateway_queue_seconds_count", model=MODEL) == 14


def test_gauges_say_how_things_are(pair: Running) -> None:
    assert value(pair, "sluice_gateway_backends_ready", model=MODEL) == 1
    assert value(pair, "sluice_gateway_in_flight", backend="alive", region="se-north") == 0
    assert value(pair, "sluice_gateway_draining") == 0
    assert value(pair, "sluice_gateway_snapshot_loaded_timestamp_seconds") > 1.7e9


def test_a_process_that_is_killed_is_started_again_and_its_counts_stay(pair: Running) -> None:
    wait_until(lambda: requests(pair, model=MODEL) == SENT)  # each tells what it counted in a while
    killed = workers(pair)[0]
    os.kill(killed.pid, signal.SIGKILL)
    wait_until(lambda: killed.pid not in {one.pid for one in workers(pair)})
    wait_until(lambda: len(workers(pair)) == 2 and _answers(pair))
    assert requests(pair, model=MODEL) == SENT
    assert value(pair, "sluice_gateway_backends_ready", model=MODEL) == 1


def _answers(gateway: Running) -> bool:
    try:
        return all(httpx.get(f"{gateway.url}/readyz").is_success for _ in range(8))
    except httpx.TransportError:
        return False


def test_a_closed_spool_says_why_and_how_long_its_oldest_record_waits(world: World) -> None:
    with gateway_running(SPOOL_MIN_FREE_MB=str(2**40)) as running:
        headers = {"x-api-key": world.cast.key.secret}
        wait_until(
            lambda: (
                httpx.post(f"{running.url}{CHAT}", json=chat(), headers=headers).status_code == 503
            )
        )
        assert value(running, "sluice_gateway_spool_closed", reason="full") == 1
        assert value(running, "sluice_gateway_spool_closed", reason="slow") == 0
        assert value(running, "sluice_gateway_spool_oldest_seconds") >= 0


def expressions() -> dict[str, str]:
    """Each PromQL expression in `deploy/`, by where it stands."""
    alerts = {rule["alert"]: rule["expr"] for rule in rules()}
    panels = {
        f"{panel['title']} {target['refId']}": target["expr"].replace("$__rate_interval", "5m")
        for panel in dashboard()["panels"]
        for target in panel.get("targets", ())
    }
    return alerts | panels


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(DASHBOARD.read_text())
    return document


def selected(expression: str) -> list[tuple[str, set[str]]]:
    """The metrics that an expression reads, each with the labels it needs."""
    found = list[tuple[str, set[str]]]()

    def visit(node: promql_parser.Expr) -> None:
        if isinstance(node, VectorSelector):
            found.append((node.name or "", {one.name for one in node.matchers.matchers}))

    promql_parser.walk(promql_parser.parse(expression), visit)
    grouped = set[str]().union(*(labels.split(", ") for labels in _GROUPED.findall(expression)))
    return [(name, labels | grouped) for name, labels in found]


_GROUPED: Final = re.compile(r"\bby \(([\w, ]+)\)")
_NAMED: Final = re.compile(r"\$labels\.(\w+)")


def test_alerts_and_panels_name_only_what_a_gateway_tells(pair: Running) -> None:
    wait_until(lambda: requests(pair, model=MODEL, outcome="refused") == 1)
    told = {
        name: ADDED_BY_PROMETHEUS.union(*(labels for labels, _ in samples))
        for name, samples in scrape(pair).items()
    } | {"up": ADDED_BY_PROMETHEUS}
    assert len(expressions()) > 40
    for where, expression in expressions().items():
        for name, labels in selected(expression):
            assert labels <= told.get(name, set()), f"{where}: {name} with {labels}"
    for rule in rules():
        kept = _GROUPED.findall(rule["expr"])
        known = [set(kept[0].split(", "))] if kept else [told[n] for n, _ in selected(rule["expr"])]
        assert set(_NAMED.findall(rule["annotations"]["summary"])) <= set[str]().union(*known)


def test_each_metric_is_on_the_dashboard(pair: Running) -> None:
    shown = {name for text in expressions().values() for name, _ in selected(text)}
    told = {name for name in scrape(pair) if name.startswith("sluice_gateway_")}
    parts = re.compile(r"_(created|sum|count|bucket)$")
    assert {parts.sub("", name) for name in told} == {
        parts.sub("", name) for name in shown if name != "up"
    }


def test_each_alert_says_how_bad_it_is_what_it_means_and_what_to_do() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(names) == len(set(names))
    for rule in rules():
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert rule["annotations"]["summary"].endswith(".")
        assert rule["annotations"]["runbook"].endswith(".")
        assert re.fullmatch(r"\d+[ms]", rule.get("for", "0s"))


def test_the_panels_of_the_dashboard_have_places_of_their_own() -> None:
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for one, other in combinations((panel["gridPos"] for panel in panels), 2):
        apart = (
            one["x"] + one["w"] <= other["x"]
            or other["x"] + other["w"] <= one["x"]
            or one["y"] + one["h"] <= other["y"]
            or other["y"] + other["h"] <= one["y"]
        )
        assert apart, (one, other)
        assert one["x"] + one["w"] <= 24


def test_the_dashboard_asks_the_data_source_that_is_chosen() -> None:
    document = dashboard()
    variables = {one["name"]: one for one in document["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    for panel in document["panels"]:
        for part in (panel, *panel.get("targets", ())) if panel["type"] != "row" else ():
            assert part["datasource"] == chosen
    used = set(re.findall(r"\$(\w+)", " ".join(expressions().values())))
    assert used == variables.keys() - {"datasource"}


def test_expressions_are_read_with_their_labels() -> None:
    assert selected('sum by (a, b) (rate(one{c="d"}[5m])) / two') == [
        ("one", {"a", "b", "c"}),
        ("two", {"a", "b"}),
    ]
