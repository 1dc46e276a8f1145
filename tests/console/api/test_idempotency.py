"""What is sent twice with one `Idempotency-Key` is done once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from unittest.mock import Mock

import pytest
import time_machine
from django.core.exceptions import ValidationError
from django.db import connection
from django.utils import timezone

from console.api.idempotency import answers_forget
from console.models import IdempotentAnswer
from tenants import services
from tenants.models import Project, ServiceAccount
from tests.conftest import Cast
from tests.console.api.conftest import Answer, Api, key_of, logged_in, with_secret

pytestmark = pytest.mark.django_db

ONCE = {"Idempotency-Key": "make-billing"}
PROJECTS = "/organization/projects"


def test_a_repeated_request_gets_the_first_answer_again(api: Api, cast: Cast) -> None:
    first = api.post(PROJECTS, ONCE, name="Billing")
    again = api.post(PROJECTS, ONCE, name="Billing")
    assert (first.status, first.body) == (200, again.body)
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert Project.objects.for_organization(cast.acme).filter(name="Billing").count() == 1


def test_a_secret_is_told_again_and_stored_sealed(api: Api, cast: Cast) -> None:
    path = f"{PROJECTS}/{cast.project.pk}/service_accounts"
    first = api.post(path, ONCE, name="robot")
    secret = first.body["api_key"]["value"]
    assert api.post(path, ONCE, name="robot").body["api_key"]["value"] == secret
    kept = bytes(IdempotentAnswer.objects.get().sealed_answer)
    assert kept
    assert secret.encode() not in kept


@pytest.mark.parametrize(
    ("path", "body"),
    [(PROJECTS, {"name": "Other"}), ("/organization/admin_api_keys", {"name": "Billing"})],
)
def test_another_request_with_the_same_key_is_refused(
    path: str, body: dict[str, str], api: Api
) -> None:
    api.post(PROJECTS, ONCE, name="Billing")
    told = api.post(path, ONCE, **body)
    assert (told.status, told.error["type"]) == (409, "idempotency_error")


@pytest.mark.parametrize("headers", [{}, ONCE])
def test_what_fails_half_way_leaves_nothing(
    headers: dict[str, str], api: Api, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "api_key_create", Mock(side_effect=ValidationError("No.")))
    told = api.post(f"{PROJECTS}/{cast.project.pk}/service_accounts", headers, name="robot")
    assert (told.status, told.error["message"]) == (400, "No.")
    assert not ServiceAccount.objects.exists()


def test_what_failed_can_be_sent_again(api: Api, cast: Cast) -> None:
    assert api.post(PROJECTS, ONCE, name="Search").status == 400
    assert api.post(PROJECTS, ONCE, name="Billing").status == 200


def test_keys_of_others_are_others(api: Api, cast: Cast) -> None:
    api.post(PROJECTS, ONCE, name="Billing")
    for other in (with_secret(key_of(cast.rival).secret), logged_in(cast.rita)):
        assert other.post(PROJECTS, ONCE, name=f"B {id(other)}").status == 200


def test_after_a_day_the_key_is_new_and_the_answer_forgotten(api: Api) -> None:
    api.post(PROJECTS, ONCE, name="Billing")
    with time_machine.travel(timezone.now() + timedelta(hours=25)):
        assert api.post(PROJECTS, ONCE, name="Other").status == 200
    with time_machine.travel(timezone.now() + timedelta(hours=50)):
        answers_forget()
    assert not IdempotentAnswer.objects.exists()


def test_a_key_is_short_and_plain(api: Api) -> None:
    told = api.post(PROJECTS, {"Idempotency-Key": "k" * 256}, name="Billing")
    assert (told.status, told.error["param"]) == (400, "Idempotency-Key")


@pytest.mark.django_db(transaction=True)
def test_of_two_at_once_the_second_waits_and_gets_the_same_answer(cast: Cast) -> None:
    api, answers = with_secret(key_of(cast.acme).secret), list[Answer]()

    def send() -> None:
        try:
            answers.append(api.post(PROJECTS, ONCE, name="Billing"))
        finally:
            connection.close()

    with _at_once(send, 4):
        pass
    assert len({answer.body["id"] for answer in answers}) == 1
    assert [answer.status for answer in answers] == [200] * 4
    assert Project.objects.for_organization(cast.acme).filter(name="Billing").count() == 1


@contextmanager
def _at_once(act: object, count: int) -> Iterator[None]:
    threads = [threading.Thread(target=act) for _ in range(count)]  # type: ignore[arg-type]
    for thread in threads:
        thread.start()
    yield
    for thread in threads:
        thread.join(timeout=30)
