"""A page behind step-up: open after a log-in for 5 minutes, then who is there is asked again."""

from __future__ import annotations

from django.http import HttpResponse
from django.test import Client, override_settings
from django.urls import path

from console import urls
from console.http import UserRequest
from console.step_up import stepped_up
from tests.conftest import PASSWORD, Cast
from tests.console.log_in import log_in_freshly

ASKS = "/account/reauthenticate/?next=%2Fmatters%2F"


@stepped_up
def matters(request: UserRequest) -> HttpResponse:
    return HttpResponse(f"{request.method} {request.POST.get('name', '')}")


urlpatterns = [path("matters/", matters), *urls.urlpatterns]
with_the_page = override_settings(ROOT_URLCONF=__name__)


@with_the_page
def test_who_logged_in_just_now_is_not_asked(client: Client, cast: Cast) -> None:
    log_in_freshly(client, cast.olivia, age_s=290)

    assert client.get("/matters/").text == "GET "


@with_the_page
def test_who_logged_in_a_while_ago_is_asked_and_goes_on(client: Client, cast: Cast) -> None:
    log_in_freshly(client, cast.olivia, age_s=310)
    assert client.get("/matters/")["Location"] == ASKS

    wrong = client.post(ASKS, {"password": "wrong"})
    right = client.post(ASKS, {"password": PASSWORD}, follow=True)

    assert "This is not your password." in wrong.text
    assert right.redirect_chain == [("/matters/", 302)]
    assert right.text == "GET "
    assert client.get("/matters/").text == "GET "


@with_the_page
def test_a_form_sent_too_late_is_not_lost(client: Client, cast: Cast) -> None:
    log_in_freshly(client, cast.olivia, age_s=310)
    assert client.post("/matters/", {"name": "Search"})["Location"] == ASKS

    answer = client.post(ASKS, {"password": PASSWORD})

    assert answer.text == "POST Search"


@with_the_page
def test_a_dialog_leaves_for_the_page_that_asks(client: Client, cast: Cast) -> None:
    log_in_freshly(client, cast.olivia, age_s=310)

    answer = client.get("/matters/", headers={"HX-Request": "true"})

    assert answer["HX-Redirect"] == ASKS


@with_the_page
def test_the_record_of_one_person_is_worth_nothing_for_another(client: Client, cast: Cast) -> None:
    log_in_freshly(client, cast.olivia)
    session = client.session
    session["_auth_user_id"] = str(cast.max.pk)
    session["_auth_user_hash"] = cast.max.get_session_auth_hash()
    session.save()

    assert client.get("/matters/")["Location"] == ASKS
