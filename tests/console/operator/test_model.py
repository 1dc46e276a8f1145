"""The operator's page of one model, and the pages that change it."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from inference import control
from inference.catalog import known_models
from inference.models import Backend, Deployment, Model, ModelStatus, Task
from tenants.models import AuditEntry
from tests.conftest import Cast
from tests.console.operator.conftest import Book, checked, text_of

URL = "/operator/models/acme/tiny/"
FACTS: dict[str, Any] = {
    "name": "Tiny 2",
    "owned_by": "Acme",
    "family": "Tiny",
    "context_tokens": "4096",
    "tasks": ["chat"],
    "capabilities": ["tools", "vision"],
    "aliases": "tiny, tiny-latest",
    "release_date": "2026-01-02",
    "licence": "MIT",
    "max_images": "3",
}
NAMES = ("edit", "card", "status", "visibility", "deployments/add")


def another(public_id: str) -> Model:
    return control.model_create(
        actor=None,
        public_id=public_id,
        name=public_id.title(),
        tasks=[Task.CHAT],
        context_tokens=1,
        owned_by="Acme",
    )


@pytest.mark.parametrize("name", ["", *(f"{name}/" for name in NAMES)])
def test_a_customer_finds_no_page_of_a_model(customer: Client, model: Model, name: str) -> None:
    assert customer.get(URL + name).status_code == 404
    assert customer.post(URL + name).status_code in {404, 405}


# The page


def test_a_model_is_shown_with_its_users_and_its_history(
    operator: Client, cast: Cast, model: Model, book: Book
) -> None:
    book(cast.key.api_key, hours_ago=1, requests=70)
    page = text_of(operator.get(URL))
    for text in (
        "€0.25", "per 1 M tokens", "by 1 organization", "lulea-gpu-01", "Serving",
        "Every organization", "3 of 17 entries",
        "Model enabled", "Rate set", "Model created",
    ):  # fmt: skip
        assert text in page


def test_a_model_without_anything_says_what_is_missing(operator: Client, cast: Cast) -> None:
    another("bare")
    page = text_of(operator.get("/operator/models/bare/"))
    assert "It runs nowhere yet" in page
    assert "Set rates" in page


# What is said of it


def test_what_is_said_of_a_model_is_changed(operator: Client, model: Model) -> None:
    assert operator.post(f"{URL}edit/", FACTS)["Location"] == URL
    model.refresh_from_db()
    assert (model.aliases, model.max_images) == (["tiny", "tiny-latest"], 3)
    page = text_of(operator.get(URL))
    assert "tiny, tiny-latest" in page
    assert 'Model changed: <span class="st">name Tiny → Tiny 2' in page
    assert "Oskar Lund" in page


@pytest.mark.parametrize(
    ("field", "typed", "said"),
    [
        ("name", "", "This field is required."),
        ("tasks", [], "This field is required."),
        ("aliases", "acme/tiny", "Each name can stand here once, and not the id itself."),
        ("aliases", "other", "other has one of these names already."),
        ("aliases", "a b/ ö", "Letters, digits"),
        ("licence_url", "no url", "Enter a valid URL."),
        ("max_images", "0", "greater than or equal to 1"),
    ],
)
def test_what_is_wrong_with_a_change_is_said_at_its_field(
    operator: Client, model: Model, field: str, typed: Any, said: str
) -> None:
    another("other")
    answer = operator.post(f"{URL}edit/", FACTS | {field: typed})
    assert answer.status_code == 422
    assert said in str(answer.context["form"].errors[field])
    assert 'value="4096"' in answer.text
    model.refresh_from_db()
    assert model.name == "Tiny"


def test_the_edit_page_holds_what_is_so(operator: Client, model: Model) -> None:
    operator.post(f"{URL}edit/", FACTS)
    page = operator.get(f"{URL}edit/").text
    assert 'value="tiny tiny-latest"' in page
    assert 'value="2026-01-02"' in page


def test_the_card_is_written_and_counted(operator: Client, model: Model) -> None:
    answer = operator.post(f"{URL}card/", {"evaluation": "42 %", "training_data": " "})
    assert answer["Location"] == URL
    model.refresh_from_db()
    assert model.card == {"evaluation": "42 %"}
    page = text_of(operator.get(URL))
    assert "42 %" in page
    assert "Model card changed" in page


# Its life


def test_before_the_status_changes_its_users_are_counted(
    operator: Client, cast: Cast, model: Model, book: Book
) -> None:
    book(cast.key.api_key, hours_ago=1, requests=70)
    book(cast.rival_key.api_key, hours_ago=2, requests=5)
    for name in ("status", "visibility"):
        page = text_of(operator.get(f"{URL}{name}/", headers={"HX-Request": "true"}))
        assert "<html" not in page
        assert "<dd>75</dd>" in page
        assert "<dd>2: Acme, Rival</dd>" in page


def test_a_model_is_deprecated_for_another(operator: Client, model: Model) -> None:
    other = another("other")
    typed = {"status": "deprecated", "sunset": "2099-01-02", "replacement": "other"}
    assert operator.post(f"{URL}status/", typed)["Location"] == URL
    model.refresh_from_db()
    assert (model.status, model.replacement) == (ModelStatus.DEPRECATED, other)
    page = text_of(operator.get(URL))
    assert "Deprecated since" in page
    assert "served until 2 Jan 2099" in page
    assert "status active → deprecated" in page
    assert 'value="2099-01-02"' in operator.get(f"{URL}status/").text


@pytest.mark.parametrize(
    ("typed", "field"),
    [
        ({"status": "gone"}, "status"),
        ({"status": "active", "sunset": "2099-01-02"}, "status"),
        ({"status": "retired", "replacement": "acme/tiny"}, "replacement"),
        ({"status": "deprecated", "sunset": "soon"}, "sunset"),
    ],
)
def test_a_status_that_cannot_be_is_refused(
    operator: Client, model: Model, typed: dict[str, str], field: str
) -> None:
    answer = operator.post(f"{URL}status/", typed)
    assert answer.status_code == 422
    assert list(answer.context["form"].errors) == [field]


def test_a_model_is_shown_to_some(operator: Client, cast: Cast, model: Model) -> None:
    operator.post(f"{URL}visibility/", {"who": "some", "slugs": "rival"})
    assert list(Model.objects.for_organization(cast.rival)) == [model]
    assert list(Model.objects.for_organization(cast.acme)) == []
    page = text_of(operator.get(URL))
    assert "Rival</a>" in page
    assert "visible to – → rival" in page
    operator.post(f"{URL}visibility/", {"who": "all"})
    assert list(Model.objects.for_organization(cast.acme)) == [model]


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({"who": "some", "slugs": ""}, "Name at least one."),
        ({"who": "some", "slugs": "acme nobody"}, "There is no organization nobody."),
        ({"who": "some"}, "Name at least one."),
        ({"slugs": "acme"}, "This field is required."),
    ],
)
def test_a_visibility_without_anyone_is_refused(
    operator: Client, model: Model, typed: dict[str, str], said: str
) -> None:
    answer = operator.post(f"{URL}visibility/", typed)
    assert answer.status_code == 422
    assert said in answer.text
    model.refresh_from_db()
    assert model.is_public


# Deployments


def deployment_url(name: str = "") -> str:
    return f"/operator/deployments/{Deployment.objects.get().pk}/{name}"


def test_deployments_are_listed_with_what_they_do(
    operator: Client, backend: Backend, model: Model
) -> None:
    Deployment.objects.update(weight=3, revision="abc")
    (row,) = operator.get("/operator/deployments/").context["rows"]
    assert (row.word, row.weight) == ("Serving", 3)
    checked(backend, healthy=False)
    assert "Not answering" in text_of(operator.get("/operator/deployments/?q=LULEA&task=chat"))
    Deployment.objects.update(is_enabled=False)
    assert "Off</span>" in text_of(operator.get("/operator/deployments/"))
    assert "No deployment is like this." in text_of(operator.get("/operator/deployments/?q=none"))


def test_no_deployments_are_explained(operator: Client) -> None:
    assert "No deployments yet." in text_of(operator.get("/operator/deployments/"))


@pytest.mark.parametrize("after", ["0", "nonsense", "9" * 30])
def test_a_page_that_is_not_there_starts_over(operator: Client, model: Model, after: str) -> None:
    assert len(operator.get("/operator/deployments/", {"after": after}).context["rows"]) == 1


def test_a_model_is_deployed_where_it_is_not_yet(
    operator: Client, backend: Backend, model: Model
) -> None:
    other = control.backend_register(
        actor=None, name="gpu-2", base_url="http://127.0.0.1:8", engine="vllm",
        region=backend.region,
    )  # fmt: skip
    form = operator.get(f"{URL}deployments/add/").context["form"]
    assert list(form.fields["backend"].queryset) == [other]
    typed = {"backend": str(other.pk), "engine_model": "tiny", "weight": "2", "is_enabled": "on"}
    assert operator.post(f"{URL}deployments/add/", typed)["Location"] == URL
    assert model.deployments.get(backend=other).weight == 2


def test_a_deployment_is_changed(operator: Client, model: Model) -> None:
    typed = {"engine_model": "tiny-2", "weight": "5", "engine_flags": "--max-model-len 4096"}
    assert operator.post(deployment_url(), typed)["Location"] == URL
    deployment = Deployment.objects.get()
    assert (deployment.engine_model, deployment.is_enabled) == ("tiny-2", False)
    assert operator.post(deployment_url(), typed | {"weight": "101"}).status_code == 422


def test_before_a_deployment_is_removed_what_it_breaks_is_shown(
    operator: Client, cast: Cast, model: Model, book: Book
) -> None:
    book(cast.key.api_key, hours_ago=1, requests=70)
    page = text_of(operator.get(deployment_url("remove/")))
    assert "acme/tiny runs nowhere else: every request for it will get 503." in page
    assert "<dd>70</dd>" in page
    assert operator.post(deployment_url("remove/"))["Location"] == URL
    assert AuditEntry.objects.latest("id").action == "model.undeploy"
    assert not Deployment.objects.exists()


def test_no_deployment_is_404(operator: Client) -> None:
    assert operator.get("/operator/deployments/77/").status_code == 404
    assert operator.post("/operator/deployments/77/remove/").status_code == 404


# The catalog


def test_a_model_of_the_catalog_is_added_with_its_card(operator: Client, backend: Backend) -> None:
    page = operator.get("/operator/models/add/catalog/").text
    assert "?from=whisper-large-v3" in page
    assert "?from=clip-vit-large-patch14" not in page
    assert "embeddings of images are still to come" in page

    form = operator.get("/operator/models/add/?from=whisper-large-v3").context["form"]
    typed = {name: form[name].value() for name in form.fields}
    typed = {name: value for name, value in typed.items() if value not in (None, "")}
    typed |= {"audio_second": "0.006", "backend": str(backend.pk)}
    answer = operator.post("/operator/models/add/?from=whisper-large-v3", typed)
    assert answer["Location"] == "/operator/models/whisper-large-v3/"

    model = Model.objects.get(public_id="whisper-large-v3")
    assert model.card == known_models()["whisper-large-v3"].card
    assert model.tasks == ["transcription", "translation"]
    assert model.is_enabled
    assert model.deployments.get().engine_model == "openai/whisper-large-v3"
    assert "Added" in operator.get("/operator/models/add/catalog/").text


@pytest.mark.parametrize("name", ["nothing", "clip-vit-large-patch14"])
def test_what_the_catalog_cannot_give_is_404(operator: Client, name: str) -> None:
    assert operator.get(f"/operator/models/add/?from={name}").status_code == 404


def test_a_name_that_is_taken_as_an_alias_is_refused_at_once(
    operator: Client, model: Model
) -> None:
    operator.post(f"{URL}edit/", FACTS)
    typed = FACTS | {"public_id": "tiny", "aliases": "", "enable": ""}
    typed |= {"input": "1", "cached_input": "1", "output": "1"}
    answer = operator.post("/operator/models/add/", typed)
    assert answer.status_code == 422
    assert "acme/tiny has one of these names already." in answer.text
    assert not Model.objects.filter(public_id="tiny").exists()
