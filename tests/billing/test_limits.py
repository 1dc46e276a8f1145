"""Which limits and budgets count for a key."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from uuid import UUID, uuid4

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from billing.limits import NO_TERMS, Bought, KeyTerms, LimitEntry, LimitSet, Rules, key_terms
from billing.models import Budget, Limit, LimitKind, Mode, Plan, Terms
from inference.snapshot import snapshot_load
from tenants import keys, services
from tests.conftest import Cast

ORG, PROJECT, KEY = uuid4(), uuid4(), uuid4()
MODELS = ("", "tiny-llama", "bge-m3")


def limit_sets(name: str) -> st.SearchStrategy[list[LimitSet]]:
    """What may be set for one scope: each kind at most once a model."""
    one = st.builds(
        LimitSet,
        st.sampled_from(MODELS),
        st.sampled_from(LimitKind),
        st.integers(1, 10**9),
        st.just(name),
    )
    return st.lists(one, unique_by=lambda limit: (limit.model, limit.kind))


def plans() -> st.SearchStrategy[dict[LimitKind, int]]:
    return st.dictionaries(st.sampled_from(LimitKind), st.integers(1, 10**9))


def counted(terms: KeyTerms) -> dict[tuple[str, LimitKind], int]:
    entries = [*terms.limits, *(one for found in terms.by_model.values() for one in found)]
    by_id = {(one.id, one.kind): one.value for one in entries}
    assert len(by_id) == len(entries), "a counter is counted twice"
    return by_id


@given(plans(), limit_sets("organization"), limit_sets("project A"), limit_sets("key B"))
def test_an_organizations_own_limit_replaces_its_plans_and_all_others_count_beside_it(
    plan: dict[LimitKind, int], own: list[LimitSet], project: list[LimitSet], key: list[LimitSet]
) -> None:
    rules = Rules({ORG: Bought(plan)}, {ORG: own, PROJECT: project, KEY: key}, {})
    expected = {("o", kind): value for kind, value in plan.items()}
    for scope, limits in (("o", own), (f"p:{PROJECT.hex}", project), (f"k:{KEY.hex}", key)):
        for one in limits:
            expected[f"{scope}:{one.model}" if one.model else scope, one.kind] = one.value
    assert counted(rules.terms(ORG, PROJECT, KEY)) == expected


@given(limit_sets("organization"), limit_sets("project A"))
def test_a_limit_of_one_model_counts_for_that_model_alone(
    own: list[LimitSet], project: list[LimitSet]
) -> None:
    terms = Rules({}, {ORG: own, PROJECT: project}, {}).terms(ORG, PROJECT, KEY)
    assert {one.id for one in terms.limits} <= {"o", f"p:{PROJECT.hex}"}
    for model, entries in terms.by_model.items():
        assert {one.id for one in entries} <= {f"o:{model}", f"p:{PROJECT.hex}:{model}"}


@given(limit_sets("organization"), limit_sets("project A"), limit_sets("key B"))
def test_what_is_set_for_others_does_not_count(
    own: list[LimitSet], project: list[LimitSet], key: list[LimitSet]
) -> None:
    rules = Rules({ORG: Bought({LimitKind.STREAMS: 1})}, {ORG: own, PROJECT: project, KEY: key}, {})
    assert rules.terms(uuid4(), uuid4(), uuid4()) == NO_TERMS


def terms_of(cast: Cast) -> KeyTerms:
    return snapshot_load().keys[keys.key_digest(cast.key.secret)].terms


def test_a_key_without_terms_is_bound_by_nothing(cast: Cast) -> None:
    assert terms_of(cast) is NO_TERMS


def test_the_snapshot_has_each_keys_terms(cast: Cast) -> None:
    plan = Plan.objects.create(slug="tight", name="Tight", rpm=20, streams=2)
    Terms.objects.create(organization=cast.acme, plan=plan, mode=Mode.PREPAID)
    limit = {"organization": cast.acme, "kind": LimitKind.REQUESTS_MINUTE}
    Limit.objects.create(**limit, value=50)
    Limit.objects.create(**limit, value=9, project=cast.project, model="tiny-llama")
    key = cast.key.api_key
    Limit.objects.create(**limit, value=3, api_key=key)
    budget = Budget.objects.create(organization=cast.acme, api_key=key, amount=Decimal(5))

    terms = terms_of(cast)
    rpm, project = LimitKind.REQUESTS_MINUTE, f"p:{cast.project.id.hex}:tiny-llama"

    assert set(terms.limits) == {
        LimitEntry("o", rpm, 50, "organization"),
        LimitEntry("o", LimitKind.STREAMS, 2, "organization"),
        LimitEntry(f"k:{key.id.hex}", rpm, 3, "key Acme production"),
    }
    assert terms.by_model == {
        "tiny-llama": (LimitEntry(project, rpm, 9, "project Search, model tiny-llama"),)
    }
    assert [(one.id, one.amount, one.kind, one.scope_name) for one in terms.budgets] == [
        (budget.id, Decimal(5), "key", "key Acme production")
    ]
    assert terms.has_wallet


def test_a_limit_that_ended_gives_way_to_the_plans(cast: Cast) -> None:
    plan = Plan.objects.create(slug="tight", name="Tight", rpm=20)
    Terms.objects.create(organization=cast.acme, plan=plan)
    ends = timezone.now() + timedelta(hours=1)
    Limit.objects.create(
        organization=cast.acme, kind=LimitKind.REQUESTS_MINUTE, value=99, ends_at=ends
    )
    asked = [(cast.key.api_key.id, cast.acme.id, cast.project.id)]

    def rpm(moment_: timedelta) -> list[int]:
        found = key_terms(asked, ends + moment_)
        return [one.value for one in found[cast.key.api_key.id].limits]

    assert rpm(timedelta(seconds=-1)) == [99]
    assert rpm(timedelta(0)) == [20]


def test_a_postpaid_organization_has_a_wallet_when_its_credit_is_limited(cast: Cast) -> None:
    terms = Terms.objects.create(organization=cast.acme)
    assert not terms_of(cast).has_wallet
    terms.credit_limit = Decimal(500)
    terms.save()
    assert terms_of(cast).has_wallet


def test_many_keys_cost_three_queries_and_share_their_terms(
    cast: Cast, django_assert_num_queries: pytest.FixtureRequest
) -> None:
    plan = Plan.objects.create(slug="tight", name="Tight", rpm=20)
    Terms.objects.create(organization=cast.acme, plan=plan)
    for number in range(5):
        services.api_key_create(actor=None, project=cast.project, name=f"key {number}")
    asked: list[tuple[UUID, UUID, UUID]] = [
        (uuid4(), cast.acme.id, cast.project.id) for _ in range(1000)
    ]
    with django_assert_num_queries(3):  # type: ignore[operator] # a context manager
        found = key_terms(asked, timezone.now())
    assert len(found) == 1000
    assert len({id(terms) for terms in found.values()}) == 1
