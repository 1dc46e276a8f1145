from __future__ import annotations

import pytest
from django.test import Client

from inference.models import Region
from tenants.models import AuditEntry

URL = "/operator/regions/add/"
LULEA = {"code": "SE-Lulea", "site": "Luleå", "country": "se", "jurisdiction": "EU"}


def test_a_region_is_added_and_on_record(operator: Client) -> None:
    assert operator.post(URL, LULEA).status_code == 302
    region = Region.objects.get()
    assert (region.code, region.site, region.country) == ("se-lulea", "Luleå", "SE")
    assert AuditEntry.objects.get(action="region.create").target_id == "se-lulea"


@pytest.mark.parametrize(
    ("field", "typed", "said"),
    [
        ("code", "se lulea", "valid “slug”"),
        ("code", "SE-LULEA", "exists already"),
        ("country", "Sweden", "Two letters"),
        ("site", "", "required"),
    ],
)
def test_a_bad_region_is_explained(operator: Client, field: str, typed: str, said: str) -> None:
    operator.post(URL, LULEA)
    answer = operator.post(URL, LULEA | {"code": "se-new"} | {field: typed})
    assert answer.status_code == 422
    assert said in answer.content.decode()
    assert Region.objects.count() == 1
