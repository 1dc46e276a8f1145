"""Sessions end: by themselves after a while, and where their person says so."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from allauth.usersessions.models import UserSession
from django.contrib.sessions.models import Session
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st

from console.sessions import SessionStore, is_over
from tenants.models import AuditEntry, User
from tests.conftest import PASSWORD, Cast

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
HOUR_S = 3600


def logged_in(user: User, agent: str = "Firefox") -> Client:
    client = Client(headers={"user-agent": agent})
    client.post("/account/login/", {"login": user.email, "password": PASSWORD})
    return client


def is_in(client: Client) -> bool:
    """Asked by a page, not by reading the session: that is what ends one."""
    return client.get("/account/").status_code == 200


@given(idle_s=st.floats(0, 14 * 86400), age_s=st.floats(0, 14 * 86400))
def test_a_session_is_over_when_it_is_idle_or_old(idle_s: float, age_s: float) -> None:
    now = NOW.timestamp()
    session = {"seen_at": now - min(idle_s, age_s), "began_at": now - age_s}
    idle_s = now - session["seen_at"]
    age_s = now - session["began_at"]

    staff, customer = (is_over(session, is_staff=who, now=now) for who in (True, False))

    assert staff == (idle_s >= HOUR_S / 2 or age_s >= 12 * HOUR_S)
    assert customer == (idle_s >= 12 * HOUR_S or age_s >= 7 * 24 * HOUR_S)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("who", "idle", "lasts"),
    [
        ("oskar", timedelta(minutes=30), timedelta(hours=12)),
        ("olivia", timedelta(hours=12), timedelta(days=7)),
    ],
)
def test_a_session_ends_by_itself(cast: Cast, who: str, idle: timedelta, lasts: timedelta) -> None:
    with time_machine.travel(NOW, tick=False) as clock:
        client = logged_in(getattr(cast, who))
        while clock_is_before(lasts):
            assert is_in(client)
            clock.shift(idle * 0.9)
        assert not is_in(client)

        client = logged_in(getattr(cast, who))
        clock.shift(idle)
        assert not is_in(client)


def clock_is_before(lasts: timedelta) -> bool:
    return datetime.now(UTC) - NOW < lasts


@pytest.mark.django_db
def test_the_log_ins_of_all_devices_are_listed(cast: Cast) -> None:
    mine, phone = logged_in(cast.olivia), logged_in(cast.olivia, "Phone")
    logged_in(cast.max, "Not hers")

    page = mine.get("/account/sessions/").text

    assert "Firefox" in page
    assert "Phone" in page
    assert "Not hers" not in page
    assert is_in(phone)


@pytest.mark.django_db
def test_one_log_in_is_ended_from_another(cast: Cast) -> None:
    mine, phone = logged_in(cast.olivia), logged_in(cast.olivia, "Phone")
    session = UserSession.objects.get(user_agent="Phone")

    assert logged_in(cast.max).post(f"/account/sessions/{session.pk}/end/").status_code == 404
    mine.post(f"/account/sessions/{session.pk}/end/")

    assert is_in(mine)
    assert not is_in(phone)
    ended = AuditEntry.objects.filter(action="session.end", actor=cast.olivia)
    assert [entry.target_id for entry in ended] == [str(cast.olivia.pk)]


@pytest.mark.django_db
def test_all_other_log_ins_are_ended_at_once(cast: Cast) -> None:
    mine, *others = (logged_in(cast.olivia, agent) for agent in ("Firefox", "Phone", "Pad"))

    mine.post("/account/sessions/")

    assert is_in(mine)
    assert not any(is_in(other) for other in others)


@pytest.mark.django_db
def test_a_session_has_another_key_once_somebody_logged_in(cast: Cast) -> None:
    client = Client()
    session = client.session
    session["before"] = "log-in"
    session.save()
    client.cookies["sessionid"] = before = session.session_key or ""

    client.post("/account/login/", {"login": cast.olivia.email, "password": PASSWORD})

    assert is_in(client)
    assert client.cookies["sessionid"].value != before
    assert not Session.objects.filter(session_key=before).exists()


@pytest.mark.django_db
def test_what_is_in_a_session_cannot_be_read_in_the_database(cast: Cast) -> None:
    client = logged_in(cast.olivia)
    session = client.session
    session["form"] = "a secret that waits"
    session.save()

    row = Session.objects.get(session_key=session.session_key)

    assert "secret" not in row.session_data
    assert SessionStore(session.session_key)["form"] == "a secret that waits"
    row.session_data = "sealed with a key that is gone"
    row.save()
    assert not is_in(client)
