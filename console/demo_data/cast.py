"""The organizations of the demo data: a few large ones, many small; their people and keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from itertools import product
from random import Random
from typing import Final
from uuid import UUID

from django.utils.text import slugify

from tenants import keys
from tenants.models import ApiKey, Membership, Organization, Project, Role, User

FIRST: Final = (
    "Nord", "Sol", "Fjäll", "Hav", "Skog", "Björk", "Älv", "Berg", "Sten", "Lund", "Ask", "Ek",
    "Linde", "Holm", "Strand", "Vinter", "Sommar", "Varg", "Örn", "Räv", "Klippa", "Dal", "Ljung",
    "Snö", "Tall",
)  # fmt: skip
LAST: Final = (
    "Data", "Bank", "Health", "Energy", "Logistics", "Legal", "Media", "Robotics", "Retail",
    "Insurance", "Software", "Labs", "Pharma", "Mobility", "Telecom", "Analytics", "Foods",
    "Security", "Education", "Games", "Travel", "Steel", "Maritime", "Design",
)  # fmt: skip
MOST: Final = len(FIRST) * len(LAST)
PROJECTS: Final = (
    "Search", "Support", "Coding", "Documents", "Research", "Sales", "Translation", "Internal",
)  # fmt: skip
KEYS: Final = ("production", "staging", "batch", "ci", "notebook")
ROLES: Final = (Role.OWNER, Role.ADMIN, Role.DEVELOPER, Role.DEVELOPER, Role.BILLING, Role.AUDITOR)
STEEPNESS: Final = 0.9
"""Of the sizes by Zipf's law: the tenth largest uses 1/10^0.9 of what the largest uses."""


@dataclass(frozen=True, slots=True)
class KeyPlan:
    """A key and what it is used for; `weight` is its share of the traffic beside the others'.

    `models` are places in `fleet.OFFERS`, each as often as it is asked in ten.
    """

    id: UUID
    organization_id: UUID
    project_id: UUID
    weight: float
    models: Sequence[int]
    stream_share: float
    cache_share: float


class Cast:
    """Makes `count` organizations, which were there before `since`, and says how they work."""

    def __init__(self, count: int, offers: int, seed: int, since: datetime) -> None:
        self._random = Random(seed)  # noqa: S311 - the same every time
        self._since, self._offers, self._seed = since, offers, seed
        self.organizations = [self._organization(name) for name in self._names(count)]
        self.plans: list[KeyPlan] = []
        self._people: list[User] = []
        self._members: list[Membership] = []
        self._projects: list[Project] = []
        self._keys: list[ApiKey] = []
        for at, organization in enumerate(self.organizations):
            self._staff(organization, at)
            self._equip(organization, at)

    def keep(self) -> None:
        Organization.objects.bulk_create(self.organizations)
        User.objects.bulk_create(self._people)
        Membership.objects.bulk_create(self._members)
        Project.objects.bulk_create(self._projects)
        ApiKey.objects.bulk_create(self._keys)

    def _names(self, count: int) -> list[str]:
        names = [f"{first} {last}" for first, last in product(FIRST, LAST)]
        self._random.shuffle(names)
        return names[:count]

    def _organization(self, name: str) -> Organization:
        moment = self._since - timedelta(days=self._random.randrange(1, 400))
        return Organization(
            id=self._id(moment), name=f"{name} AB", slug=slugify(name), created_at=moment
        )

    def _staff(self, organization: Organization, at: int) -> None:
        for role in ROLES[: max(1, len(ROLES) - at // 20)]:
            number = len(self._people) + 1
            user = User(
                email=f"person-{number}@{organization.slug}.example",
                name=f"Person {number}",
                date_joined=organization.created_at,
            )
            user.set_unusable_password()
            self._people.append(user)
            self._members.append(Membership(organization=organization, user=user, role=role))

    def _equip(self, organization: Organization, at: int) -> None:
        """Projects and keys: the larger the organization, the more of them."""
        projects = [
            self._project(organization, name)
            for name in PROJECTS[: max(1, len(PROJECTS) - at // 25)]
        ]
        rows = [
            self._key(project, f"{project.name} {name}")
            for project in projects
            for name in KEYS[: max(1, len(KEYS) - at // 20)]
        ]
        shares = [self._random.paretovariate(1.2) for _row in rows]
        size = 1 / (at + 1) ** STEEPNESS / sum(shares)
        self._projects += projects
        self._keys += rows
        self.plans += [
            self._plan(row, share * size) for row, share in zip(rows, shares, strict=True)
        ]

    def _project(self, organization: Organization, name: str) -> Project:
        moment = organization.created_at
        return Project(id=self._id(moment), organization=organization, name=name, created_at=moment)

    def _key(self, project: Project, name: str) -> ApiKey:
        """Nobody holds its secret: the digest is of nothing that has the form of a key."""
        id_ = self._id(project.created_at)
        return ApiKey(
            id=id_,
            organization=project.organization,
            project=project,
            name=name,
            hint=keys.key_hint(f"{keys.PREFIX}{id_.hex[-4:]}"),
            digest=sha256(id_.bytes).digest(),
            pepper_version=keys.newest_pepper_version(),
            created_at=project.created_at,
        )

    def _plan(self, key: ApiKey, weight: float) -> KeyPlan:
        popularity = [1 / (at + 2) for at in range(self._offers)]
        first, second, third = self._random.choices(range(self._offers), popularity, k=3)
        return KeyPlan(
            id=key.id,
            organization_id=key.organization_id,
            project_id=key.project_id,
            weight=weight,
            models=[first] * 6 + [second] * 3 + [third],
            stream_share=self._random.random(),
            cache_share=self._random.random() * 0.8,
        )

    def _id(self, moment: datetime) -> UUID:
        """A UUIDv7 of `moment`, so that ids are in the order of time as everywhere."""
        milliseconds = int(moment.timestamp() * 1000)
        tail = self._random.getrandbits(80)
        number = milliseconds << 80 | tail
        number = number & ~(0xF << 76) | 7 << 76
        return UUID(int=number & ~(3 << 62) | 2 << 62)
