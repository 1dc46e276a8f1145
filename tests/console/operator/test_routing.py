"""The operator's page of routing policies, and the policy of one model."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.conf import settings
from django.test import Client

from billing.services import rate_set
from inference import control
from inference.models import Backend, Capability, Model, RoutingPolicy, Task
from tenants.models import AuditEntry, Organization
from tests.conftest import Cast
from tests.console.operator.conftest import text_of

URL = "/operator/routing/"
POLICY = "/operator/models/acme/tiny/routing/"


def another(public_id: str, *, price: str = "0.25", **facts: Any) -> Model:
    """An enabled model that chats, without a backend."""
    told: dict[str, Any] = {"tasks": [Task.CHAT], "context_tokens": 2048} | facts
    model = control.model_create(
        actor=None, public_id=public_id, name=public_id.title(), owned_by="Acme", **told
    )
    for component in model.components:
        rate_set(actor=None, model=public_id, component=component, price=Decimal(price))
    return control.model_set_enabled(actor=None, model=model, enabled=True)


@pytest.mark.parametrize("url", [URL, POLICY])
def test_a_customer_finds_no_routing(customer: Client, model: Model, url: str) -> None:
    assert customer.get(url).status_code == 404
    assert customer.post(url).status_code in {404, 405}


# All policies


def test_a_model_without_a_policy_does_as_the_gateways(operator: Client, model: Model) -> None:
    page = operator.get(URL)
    text = text_of(page)
    assert "as the gateways" in text
    assert "1 of 1" in text
    assert f'<dt>In all</dt><dd><span class="big">{settings.GATEWAY_TOTAL_TIMEOUT_S:g} ' in text


def test_what_a_model_has_of_its_own_is_listed(operator: Client, model: Model, cast: Cast) -> None:
    other = another("acme/small", context_tokens=1024)
    control.model_set_routing(
        actor=cast.oskar, model=model, has_affinity=False, fallback=other, total_timeout_s=42
    )
    text = text_of(operator.get(URL))
    assert 'In all: <span class="nw">42 s' in text
    assert "acme/small" in text
    assert "Its context is 1 024 tokens, not 2 048." in text
    assert ">Off<" in text.replace(" ", "")


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, ["acme/small", "acme/tiny"]),
        ({"q": "TINY"}, ["acme/tiny"]),
        ({"policy": "own"}, ["acme/tiny"]),
        ({"policy": "fallback"}, []),
        ({"q": "none"}, []),
    ],
)
def test_policies_are_found_by_model_and_kind(
    operator: Client, model: Model, query: dict[str, str], found: list[str]
) -> None:
    another("acme/small")
    control.model_set_routing(actor=None, model=model, has_affinity=False)
    page = operator.get(URL, query)
    assert [row.model.public_id for row in page.context["rows"]] == found
    assert found or "Show all" in text_of(page)


def test_the_list_asks_as_much_for_many_as_for_few(
    operator: Client, model: Model, django_assert_max_num_queries: Any
) -> None:
    for number in range(12):
        one = another(f"model-{number}")
        control.model_set_routing(actor=None, model=one, fallback=model)
    with django_assert_max_num_queries(10):
        operator.get(URL)


# The policy of one model


def test_a_policy_is_set_and_what_is_empty_is_the_gateways_own(
    operator: Client, model: Model
) -> None:
    other = another("acme/small")
    typed = {"fallback": "acme/small", "first_byte_timeout_s": "20", "max_waiting": ""}
    assert operator.post(POLICY, typed)["Location"] == "/operator/models/acme/tiny/"
    policy = RoutingPolicy.objects.get(model=model)
    assert (policy.has_affinity, policy.fallback) == (False, other)
    assert (policy.first_byte_timeout_s, policy.max_waiting) == (20, None)
    page = text_of(operator.get("/operator/models/acme/tiny/"))
    assert "To the first byte</dt><dd>20 s" in page
    assert "Routing changed" in page
    assert "fallback – → acme/small" in page


def test_the_form_holds_what_is_so_and_shows_what_the_gateways_do(
    operator: Client, model: Model
) -> None:
    control.model_set_routing(actor=None, model=model, queue_timeout_s=7)
    page = operator.get(POLICY).text
    assert 'name="queue_timeout_s" value="7"' in page
    assert f'placeholder="{settings.GATEWAY_MAX_WAITING}"' in page


@pytest.mark.parametrize(
    ("field", "typed", "said"),
    [
        ("connect_timeout_s", "0", "greater than or equal to 1"),
        ("idle_timeout_s", "3601", "less than or equal to 3600"),
        ("total_timeout_s", "soon", "Enter a whole number."),
        ("first_byte_timeout_s", "901", "Not longer than the time in all, 900 s."),
        ("fallback", "acme/tiny", "Select a valid choice."),
        ("fallback", "listener", "Select a valid choice."),
        ("max_waiting", "99999", "less than or equal to 32767"),
    ],
)
def test_what_is_wrong_with_a_policy_is_said_at_its_field(
    operator: Client, model: Model, field: str, typed: str, said: str
) -> None:
    another("listener", tasks=[Task.TRANSCRIPTION])
    answer = operator.post(POLICY, {"queue_timeout_s": "11", field: typed})
    assert answer.status_code == 422
    assert said in str(answer.context["form"].errors[field])
    assert 'value="11"' in answer.text
    assert not RoutingPolicy.objects.exists()


def test_what_is_as_it_was_is_not_put_on_record(operator: Client, model: Model) -> None:
    operator.post(POLICY, {"has_affinity": "on"})
    assert not AuditEntry.objects.filter(action="model.set_routing").exists()


def test_each_fallback_says_what_it_changes_for_customers(
    operator: Client, cast: Cast, model: Model
) -> None:
    control.model_update(
        actor=None,
        model=model,
        name="Tiny",
        tasks=[Task.CHAT],
        context_tokens=2048,
        owned_by="Acme",
        capabilities=[Capability.TOOLS],
    )
    another("far", price="0.50")
    another("off")
    control.model_set_enabled(actor=None, model=Model.objects.get(public_id="off"), enabled=False)
    secret = another("secret")
    rival = Organization.objects.filter(slug="rival")
    control.model_set_visibility(actor=None, model=secret, organizations=list(rival))
    page = text_of(operator.get(POLICY))
    assert "It lacks: Tools. It has no backend in Luleå. Input costs €0.50, not €0.25." in page
    assert "It is not offered, so it answers nothing." in page
    assert "Organizations that may not call it get the error." in page


def test_a_fallback_that_is_the_same_in_all_says_so(
    operator: Client, model: Model, backend: Backend
) -> None:
    twin = another("twin")
    control.model_deploy(actor=None, model=twin, backend=backend, engine_model="twin")
    assert "Nothing but the model itself." in text_of(operator.get(POLICY))
