"""`manage.py demo`: the demo data of `make up`. Run again, it changes nothing but what differs."""

from __future__ import annotations

import json
import secrets
from argparse import ArgumentParser
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, NotRequired, TypedDict, override

from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import transaction

from billing.models import Component, Rate
from billing.services import rate_set
from console.local import RUN_DIR, private_write
from inference import control
from inference.engines.demo import CONTEXT_TOKENS, ENGINE_MODEL
from inference.models import Backend, Engine, Model, Region, Task
from tenants import keys, services
from tenants.models import ApiKey, Organization, Project, Role, User

OPERATOR: Final = ("operator@example.com", "Olle Operator")
CUSTOMER: Final = ("customer@example.com", "Karin Customer")
ORGANIZATION: Final = ("demo", "Demo AB")
KEY_NAME: Final = "Demo key"
PRICES: Final = {
    Component.INPUT: Decimal("0.05"),
    Component.CACHED_INPUT: Decimal("0.01"),
    Component.OUTPUT: Decimal("0.10"),
}
"""EUR per million tokens."""


class Login(TypedDict):
    email: str
    password: str


class Known(TypedDict):
    """What `.run/demo.json` holds: the only place of the demo's secrets in the clear."""

    api_key: NotRequired[str]
    operator: NotRequired[Login]
    customer: NotRequired[Login]


class Command(BaseCommand):
    help = "Make the demo organization, users, key and model, and write their secrets to a file."

    @override
    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--engine-url", required=True, help="where the demo engine answers")
        parser.add_argument("--file", type=Path, default=RUN_DIR / "demo.json")

    @override
    def handle(self, *args: Any, **options: Any) -> None:
        file: Path = options["file"]
        known: Known = json.loads(file.read_text()) if file.exists() else {}
        made = demo_make(known, engine_url=options["engine_url"])
        private_write(file, json.dumps(made, indent=2) + "\n")


@transaction.atomic
def demo_make(known: Known, *, engine_url: str) -> dict[str, Any]:
    """Make what is missing; the secrets in `known` stay valid where they still are."""
    operator = _login(OPERATOR, known.get("operator"), is_staff=True)
    customer = _login(CUSTOMER, known.get("customer"))
    actor = User.objects.get(email=operator["email"])
    organization = _organization(actor, User.objects.get(email=customer["email"]))
    _model(actor, _backend(actor, engine_url))
    return {
        "console_url": settings.CONSOLE_URL,
        "gateway_url": settings.GATEWAY_URL,
        "api_key": _api_key(organization, known.get("api_key", "")),
        "model": ENGINE_MODEL,
        "operator": operator,
        "customer": customer,
        "organization": organization.slug,
    }


def _login(person: tuple[str, str], known: Login | None, **fields: bool) -> Login:
    """The user with a password that is known: a user whose password was lost gets a new one."""
    email, name = person
    password = known["password"] if known else secrets.token_urlsafe(12)
    user = User.objects.filter(email=email).first()
    if user is None:
        User.objects.create_user(email, password, name=name, **fields)
    elif known is None:
        user.set_password(password)
        user.save(update_fields=["password"])
    return {"email": email, "password": password}


def _organization(operator: User, owner: User) -> Organization:
    slug, name = ORGANIZATION
    if found := Organization.objects.filter(slug=slug).first():
        return found
    made = services.organization_create(actor=operator, name=name, slug=slug)
    services.member_add(actor=operator, organization=made, user=owner, role=Role.OWNER)
    services.project_create(actor=owner, organization=made, name="Demo")
    return made


def _api_key(organization: Organization, known: str) -> str:
    """The known key while it works; else a new one, and those whose secret was lost are revoked."""
    active = ApiKey.objects.for_organization(organization).active()
    if known and active.filter(digest=keys.key_digest(known)).exists():
        return known
    for lost in active.filter(name=KEY_NAME):
        services.api_key_revoke(actor=None, api_key=lost)
    project = Project.objects.for_organization(organization).get(name="Demo")
    return services.api_key_create(actor=None, project=project, name=KEY_NAME).secret


def _backend(operator: User, engine_url: str) -> Backend:
    if found := Backend.objects.filter(name="demo").first():
        return control.backend_move(actor=operator, backend=found, base_url=engine_url)
    region = Region.objects.filter(code="local").first() or control.region_create(
        actor=operator, code="local", site="This machine", country="SE", jurisdiction="EU"
    )
    return control.backend_register(
        actor=operator, name="demo", base_url=engine_url, engine=Engine.LLAMACPP, region=region
    )


def _model(operator: User, backend: Backend) -> None:
    if Model.objects.filter(public_id=ENGINE_MODEL).exists():
        return
    model = control.model_create(
        actor=operator,
        public_id=ENGINE_MODEL,
        name="Gemma 3 270M",
        tasks=[Task.CHAT, Task.COMPLETION],
        context_tokens=CONTEXT_TOKENS,
        owned_by="Google",
        licence="Gemma",
        description="A very small model that runs on the CPU, to try the platform with.",
    )
    for component, price in PRICES.items():
        if not Rate.objects.filter(model=ENGINE_MODEL, component=component).exists():
            rate_set(actor=operator, model=ENGINE_MODEL, component=component, price=price)
    control.model_deploy(actor=operator, model=model, backend=backend, engine_model=ENGINE_MODEL)
    control.model_set_enabled(actor=operator, model=model, enabled=True)
