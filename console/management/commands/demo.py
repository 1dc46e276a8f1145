"""`manage.py demo`: the demo data of `make up`. Run again, it changes nothing but what differs."""

from __future__ import annotations

import json
import os
import secrets
from argparse import ArgumentParser
from collections.abc import Mapping
from decimal import Decimal
from itertools import chain
from pathlib import Path
from typing import Any, Final, NotRequired, TypedDict, override

from allauth.account.models import EmailAddress
from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import transaction
from django.utils import timezone

from billing.exchange import exchange_rate_on, exchange_rate_set
from billing.models import LIST_EUR, Component, Rate
from billing.services import rate_set
from console.demo_models import DEMO_MODELS, DemoModel
from console.local import RUN_DIR, private_write
from inference import control
from inference.models import Backend, BackendState, Engine, Model, Region
from tenants import keys, services
from tenants.audit.anchors import anchor_make
from tenants.audit.checks import trail_verify
from tenants.models import AdminKey, ApiKey, Organization, Project, Role, User

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


SEK_PER_EUR: Final = Decimal(11)


class Login(TypedDict):
    email: str
    password: str


class Known(TypedDict):
    """What `.run/demo.json` holds: the only place of the demo's secrets in the clear."""

    api_key: NotRequired[str]
    admin_key: NotRequired[str]
    operator: NotRequired[Login]
    customer: NotRequired[Login]


class Command(BaseCommand):
    help = "Make the demo organization, users, key and model, and write their secrets to a file."

    @override
    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--serve", required=True, action="append", metavar="MODEL=URL",
            help="a demo model and where its engine answers",
        )  # fmt: skip
        parser.add_argument("--file", type=Path, default=RUN_DIR / "demo.json")

    @override
    def handle(self, *args: Any, **options: Any) -> None:
        file: Path = options["file"]
        known: Known = json.loads(file.read_text()) if file.exists() else {}
        served = dict(model.split("=", 1) for model in options["serve"])
        made = demo_make(known, served=served)
        private_write(file, json.dumps(made, indent=2) + "\n")
        anchor_make()
        trail_verify()


@transaction.atomic
def demo_make(known: Known, *, served: Mapping[str, str]) -> dict[str, Any]:
    """Make what is missing; the secrets in `known` stay valid where they still are.

    `served` are the demo models that are served this time, and the URLs of their engines.
    """
    operator = _login(OPERATOR, known.get("operator"), is_staff=True)
    customer = _login(CUSTOMER, known.get("customer"))
    actor = User.objects.get(email=operator["email"])
    organization = _organization(actor, User.objects.get(email=customer["email"]))
    _exchange_rate(actor)
    for model in chain.from_iterable(DEMO_MODELS.values()):
        if url := served.get(model.public_id):
            _model(actor, model, _backend(actor, model, url))
        else:
            _withdraw(actor, model)
    return {
        "console_url": settings.CONSOLE_URL,
        "gateway_url": settings.GATEWAY_URL,
        "management_url": settings.MANAGEMENT_URL,
        "api_key": _api_key(organization, known.get("api_key", "")),
        "admin_key": _admin_key(organization, known.get("admin_key", "")),
        "model": next(iter(served)),
        "operator": operator,
        "customer": customer,
        "organization": organization.slug,
    }


def _exchange_rate(operator: User) -> None:
    """Without one, invoices with Swedish VAT wait for it."""
    today = timezone.now().date()
    if exchange_rate_on(today) is None:
        exchange_rate_set(actor=operator, day=today, rate=SEK_PER_EUR, source="Demo, of no bank")


def _login(person: tuple[str, str], known: Login | None, **fields: bool) -> Login:
    """The user with a password that is known: a user whose password was lost gets a new one."""
    email, name = person
    password = known["password"] if known else secrets.token_urlsafe(12)
    user = User.objects.filter(email=email).first()
    if user is None:
        user = User.objects.create_user(email, password, name=name, **fields)
        EmailAddress.objects.create(user=user, email=email, verified=True, primary=True)
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


def _admin_key(organization: Organization, known: str) -> str:
    """As `_api_key`, for the management API."""
    if known and services.admin_key_find(known):
        return known
    active = AdminKey.objects.for_organization(organization).active()
    for lost in active.filter(name=KEY_NAME):
        services.admin_key_revoke(actor=None, admin_key=lost)
    made = services.admin_key_create(
        actor=None, organization=organization, name=KEY_NAME, may_write=True, expires_at=None
    )
    return made.secret


def _backend(operator: User, model: DemoModel, url: str) -> Backend:
    key = os.environ.get("ENGINE_KEY", "") if model.engine == Engine.VLLM else ""
    if found := Backend.objects.filter(name=model.backend).first():
        _set_state(operator, found, BackendState.ACTIVE)
        return control.backend_move(actor=operator, backend=found, base_url=url, key=key)
    region = Region.objects.filter(code="local").first() or control.region_create(
        actor=operator, code="local", site="This machine", country="SE", jurisdiction="EU"
    )
    return control.backend_register(
        actor=operator, name=model.backend, base_url=url, engine=model.engine, region=region,
        key=key,
    )  # fmt: skip


def _model(operator: User, demo: DemoModel, backend: Backend) -> None:
    model = Model.objects.filter(public_id=demo.public_id).first()
    if model is None:
        model = control.model_create(
            actor=operator,
            public_id=demo.public_id,
            name=demo.name,
            tasks=demo.tasks,
            context_tokens=demo.context_tokens,
            owned_by=demo.owned_by,
            licence=demo.licence,
            description=demo.description,
            capabilities=demo.capabilities,
        )
        control.model_deploy(
            actor=operator, model=model, backend=backend, engine_model=demo.public_id
        )
    for component in model.components:
        priced = Rate.objects.filter(book=LIST_EUR, model=demo.public_id, component=component)
        if not priced.exists():
            price = PRICES[component]
            rate_set(actor=operator, model=demo.public_id, component=component, price=price)
    if not model.is_enabled:
        control.model_set_enabled(actor=operator, model=model, enabled=True)


def _withdraw(operator: User, demo: DemoModel) -> None:
    """The engine of another time is not there."""
    if model := Model.objects.filter(public_id=demo.public_id, is_enabled=True).first():
        control.model_set_enabled(actor=operator, model=model, enabled=False)
    if backend := Backend.objects.filter(name=demo.backend).first():
        _set_state(operator, backend, BackendState.DISABLED)


def _set_state(operator: User, backend: Backend, state: BackendState) -> None:
    if backend.state != state:
        control.backend_set_state(actor=operator, backend=backend, state=state)
