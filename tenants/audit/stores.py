"""Where anchors are kept, outside the database: a folder or a bucket, named by `AUDIT_ANCHOR_URL`.

A store takes an anchor once and never changes it. A folder should be on another machine, where
files can be added and not changed; a bucket has object lock, and is in an account of its own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import unquote, urlsplit

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone

_PREFIX: Final = "anchor-"
_SUFFIX: Final = ".json"


class AnchorStore(Protocol):
    def write(self, number: int, document: str) -> None:
        """Keep it for good. Raises FileExistsError where there is one of this number."""

    def read(self, number: int) -> str | None:
        """None where there is none."""

    def numbers(self) -> Iterator[int]:
        """Of all that are kept, the first first."""


@dataclass(frozen=True, slots=True)
class Folder:
    """A file for each anchor, a thousand to a folder; read-only as soon as it is there."""

    root: Path

    def write(self, number: int, document: str) -> None:
        path = self._path(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        part.unlink(missing_ok=True)
        with part.open("w") as file:
            file.write(document)
            file.flush()
            os.fsync(file.fileno())
        part.chmod(0o444)
        try:
            path.hardlink_to(part)  # unlike a rename, it never takes the place of another
        finally:
            part.unlink()

    def read(self, number: int) -> str | None:
        path = self._path(number)
        return path.read_text() if path.exists() else None

    def numbers(self) -> Iterator[int]:
        for path in sorted(self.root.glob(f"*/{_PREFIX}*{_SUFFIX}")):
            yield int(path.stem.removeprefix(_PREFIX))

    def _path(self, number: int) -> Path:
        return self.root / f"{number // 1000:09}" / f"{_PREFIX}{number:012}{_SUFFIX}"


class Bucket:
    """An object for each anchor, which S3's object lock keeps from everyone for `keep`.

    Speaks by boto3, the extra `s3`, with the credentials that it finds in its environment.
    """

    def __init__(self, bucket: str, prefix: str, endpoint: str | None, keep: timedelta) -> None:
        import boto3

        self._s3 = boto3.client("s3", endpoint_url=endpoint)
        self._bucket, self._prefix, self._keep = bucket, prefix, keep

    def write(self, number: int, document: str) -> None:
        try:
            self._s3.put_object(
                Bucket=self._bucket,
                Key=self._key(number),
                Body=document.encode(),
                ContentType="application/json",
                IfNoneMatch="*",
                ObjectLockMode="COMPLIANCE",
                ObjectLockRetainUntilDate=timezone.now() + self._keep,
            )
        except self._s3.exceptions.ClientError as error:
            if error.response["Error"]["Code"] == "PreconditionFailed":
                raise FileExistsError(self._key(number)) from error
            raise

    def read(self, number: int) -> str | None:
        try:
            found = self._s3.get_object(Bucket=self._bucket, Key=self._key(number))
        except self._s3.exceptions.NoSuchKey:
            return None
        text: str = found["Body"].read().decode()
        return text

    def numbers(self) -> Iterator[int]:
        start = self._prefix + _PREFIX
        pages = self._s3.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=start
        )
        for page in pages:
            for one in page.get("Contents", ()):
                yield int(one["Key"].removeprefix(start).removesuffix(_SUFFIX))

    def _key(self, number: int) -> str:
        return f"{self._prefix}{_PREFIX}{number:012}{_SUFFIX}"


def anchor_store() -> AnchorStore:
    """Raises ImproperlyConfigured for an address of another kind."""
    parts = urlsplit(settings.AUDIT_ANCHOR_URL)
    path = unquote(parts.path)
    if parts.scheme == "file" and path and not parts.netloc:
        return Folder(Path(path))
    if parts.scheme == "s3" and parts.netloc:
        prefix = f"{path.strip('/')}/".removeprefix("/")
        endpoint = settings.AUDIT_ANCHOR_S3_ENDPOINT or None
        keep = timedelta(days=settings.AUDIT_ANCHOR_KEEP_DAYS)
        return Bucket(parts.netloc, prefix, endpoint, keep)
    raise ImproperlyConfigured(
        "AUDIT_ANCHOR_URL is a folder or a bucket: file:///var/lib/sluice/anchors, s3://anchors."
    )
