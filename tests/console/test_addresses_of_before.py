"""People of an installation from before addresses were confirmed log in as they did."""

from __future__ import annotations

from importlib import import_module

from allauth.account.models import EmailAddress
from django.apps import apps
from django.db import connection
from django.test import Client

from tests.conftest import PASSWORD, Cast

migration = import_module("console.migrations.0002_addresses_of_before")


def test_an_account_of_before_needs_no_code(client: Client, cast: Cast) -> None:
    EmailAddress.objects.filter(user__in=[cast.olivia, cast.rita]).delete()
    EmailAddress.objects.create(user=cast.rita, email=cast.rita.email, primary=True)

    migration.addresses_confirm(apps, connection.schema_editor())

    log_in = {"login": cast.olivia.email, "password": PASSWORD}
    assert client.post("/account/login/", log_in)["Location"] == "/"
    assert not EmailAddress.objects.get(user=cast.rita).verified, "nobody vouched for this one"
