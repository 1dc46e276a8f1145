"""Where the requests of an organization may go, and its share when requests wait."""

from __future__ import annotations

import pytest
from django.test import Client

from inference import control
from inference.models import Backend, BackendState, Model, Region
from tenants import services
from tenants.models import AuditEntry
from tests.conftest import Cast
from tests.console.operator.conftest import Book, text_of

ACME = "/operator/organizations/acme/"
URL = f"{ACME}routing/"


@pytest.fixture
def abroad(cast: Cast) -> Region:
    """A region without a backend."""
    return control.region_create(
        actor=cast.oskar, code="de-berlin", site="Berlin", country="DE", jurisdiction="EU"
    )


def test_without_a_choice_requests_go_to_every_region(operator: Client, cast: Cast) -> None:
    assert "<dd>Every region</dd>" in text_of(operator.get(ACME))


def test_regions_and_share_are_set_and_told(
    operator: Client, cast: Cast, model: Model, abroad: Region
) -> None:
    typed = {"regions": ["se-lulea", "de-berlin"], "share": "5"}
    assert operator.post(URL, typed)["Location"] == ACME
    cast.acme.refresh_from_db()
    assert (cast.acme.allowed_regions, cast.acme.share) == (["de-berlin", "se-lulea"], 5)
    page = text_of(operator.get(ACME))
    assert "<dd>Berlin, DE · Luleå, SE</dd>" in page
    told = AuditEntry.objects.for_organization(cast.acme)
    assert told.get(action="organization.set_regions").data["after"] == ["de-berlin", "se-lulea"]
    assert told.get(action="organization.set_share").data["after"] == 5


def test_what_is_as_it_was_is_not_put_on_record(operator: Client, cast: Cast) -> None:
    assert operator.post(URL, {"share": "1"}).status_code == 302
    assert not AuditEntry.objects.filter(action__startswith="organization.set").exists()


def test_each_region_says_which_models_it_serves(
    operator: Client, model: Model, abroad: Region
) -> None:
    page = text_of(operator.get(URL, headers={"HX-Request": "true"}))
    assert "<html" not in page
    assert "<dt>In Luleå</dt><dd>acme/tiny</dd>" in page
    assert "<dt>In Berlin</dt><dd>no enabled model</dd>" in page


def test_regions_that_leave_a_model_without_a_backend_are_asked_about_first(
    operator: Client, cast: Cast, model: Model, abroad: Region, book: Book
) -> None:
    book(cast.key.api_key, hours_ago=1, requests=70)
    book(cast.rival_key.api_key, hours_ago=1, requests=5)
    typed = {"regions": "de-berlin", "share": "3"}
    asked = operator.post(URL, typed)
    assert asked.status_code == 422
    assert "1 model has no backend in these regions" in text_of(asked)
    assert "<li>acme/tiny: 70 requests in 24 h</li>" in text_of(asked)
    cast.acme.refresh_from_db()
    assert (cast.acme.allowed_regions, cast.acme.share) == ([], 1)

    agreed = {"agreed": asked.context["agreed"]}
    assert operator.post(URL, typed | agreed).status_code == 302
    cast.acme.refresh_from_db()
    assert (cast.acme.allowed_regions, cast.acme.share) == (["de-berlin"], 3)


def test_what_was_agreed_to_for_some_regions_holds_for_no_others(
    operator: Client, cast: Cast, model: Model, abroad: Region
) -> None:
    control.region_create(actor=None, code="moon", site="Moon", country="ZZ", jurisdiction="-")
    typed = {"regions": "moon", "share": "1", "agreed": "de-berlin"}
    assert operator.post(URL, typed).status_code == 422
    cast.acme.refresh_from_db()
    assert cast.acme.allowed_regions == []


def test_a_model_that_is_lost_already_is_no_news(
    operator: Client, cast: Cast, model: Model, abroad: Region
) -> None:
    services.organization_set_regions(actor=None, organization=cast.acme, regions=["de-berlin"])
    assert operator.post(URL, {"regions": "de-berlin", "share": "2"}).status_code == 302


def test_a_draining_backend_serves_no_region(
    operator: Client, backend: Backend, model: Model
) -> None:
    control.backend_set_state(actor=None, backend=backend, state=BackendState.DRAINING)
    assert "<dt>In Luleå</dt><dd>no enabled model</dd>" in text_of(operator.get(URL))


@pytest.mark.parametrize(
    ("field", "typed", "said"),
    [
        ("share", "0", "greater than or equal to 1"),
        ("share", "101", "less than or equal to 100"),
        ("share", "", "This field is required."),
        ("regions", "atlantis", "Select a valid choice."),
    ],
)
def test_what_is_wrong_is_said_at_its_field(
    operator: Client, cast: Cast, region: Region, field: str, typed: str, said: str
) -> None:
    answer = operator.post(URL, {"share": "2", field: typed})
    assert answer.status_code == 422
    assert said in str(answer.context["form"].errors[field])
    cast.acme.refresh_from_db()
    assert (cast.acme.allowed_regions, cast.acme.share) == ([], 1)


def test_a_customer_cannot_choose_its_regions(customer: Client, region: Region) -> None:
    assert customer.post(URL, {"share": "100"}).status_code == 404
