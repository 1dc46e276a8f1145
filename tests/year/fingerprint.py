"""One hash over every table of money."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Final

from django.apps import apps
from django.db import connection
from django.db.models import AutoField, Model

_ROWS: Final = """
SELECT line FROM (SELECT row({columns})::text AS line FROM {table}) AS rows
ORDER BY line COLLATE "C"
"""


def fingerprints() -> dict[str, str]:
    """By table, over all its rows in the order of their text: every column but running numbers,
    which nothing refers to.
    """
    models = apps.get_app_config("billing").get_models()
    return {model._meta.db_table: _fingerprint(model) for model in models}


def fingerprint(tables: Mapping[str, str]) -> str:
    return sha256(
        "\n".join(f"{name} {tables[name]}" for name in sorted(tables)).encode()
    ).hexdigest()


def _fingerprint(model: type[Model]) -> str:
    found, quoted = sha256(), connection.ops.quote_name
    fields = [field for field in model._meta.concrete_fields if not isinstance(field, AutoField)]
    columns = ", ".join(quoted(field.column) for field in fields if field.column)
    with connection.cursor() as cursor:
        cursor.execute(_ROWS.format(columns=columns, table=quoted(model._meta.db_table)))
        for (row,) in cursor:
            found.update(row.encode() + b"\n")
    return found.hexdigest()
