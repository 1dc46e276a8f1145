"""Where anchors are kept: a folder, or a bucket of S3 that lets nobody change them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import override
from urllib.parse import urlsplit

import pytest
from django.utils import timezone
from pytest_django import Settings

from tenants.audit.anchors import anchor_make
from tenants.audit.checks import trail_check
from tenants.audit.stores import AnchorStore, Bucket, Folder, anchor_store
from tests.conftest import Cast
from tests.tenants.audit.conftest import project


class Objects(ThreadingHTTPServer):
    """S3, as far as a store asks: what is put once stays, and until when."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.kept: dict[str, bytes] = {}
        self.locks: dict[str, tuple[str, str]] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Answers(BaseHTTPRequestHandler):
    server: Objects

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        key = urlsplit(self.path).path
        if self.headers["If-None-Match"] == "*" and key in self.server.kept:
            self._answer(412, "<Error><Code>PreconditionFailed</Code></Error>")
            return
        self.server.kept[key] = body
        self.server.locks[key] = (
            self.headers["x-amz-object-lock-mode"],
            self.headers["x-amz-object-lock-retain-until-date"],
        )
        self._answer(200)

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        if "list-type=2" in address.query:
            names = sorted(key.removeprefix("/sluice/") for key in self.server.kept)
            rows = "".join(f"<Contents><Key>{name}</Key></Contents>" for name in names)
            self._answer(200, f"<ListBucketResult>{rows}</ListBucketResult>")
        elif address.path in self.server.kept:
            self._answer(200, self.server.kept[address.path].decode())
        else:
            self._answer(404, "<Error><Code>NoSuchKey</Code></Error>")

    def _answer(self, status: int, text: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    @override
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def objects(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Objects]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-north-1")
    with Objects() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        settings.AUDIT_ANCHOR_URL = "s3://sluice/anchors"
        settings.AUDIT_ANCHOR_S3_ENDPOINT = server.url
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(params=["folder", "bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path, objects: Objects) -> AnchorStore:
    return Folder(tmp_path) if request.param == "folder" else anchor_store()


def test_a_store_takes_a_number_once(store: AnchorStore) -> None:
    for number in (2, 1, 1_000, 10):
        store.write(number, f"{number}")
    with pytest.raises(FileExistsError):
        store.write(2, "another")
    assert list(store.numbers()) == [1, 2, 10, 1_000]
    assert (store.read(2), store.read(3)) == ("2", None)


def test_nothing_half_written_is_left_in_a_folder(tmp_path: Path) -> None:
    store = Folder(tmp_path)
    store.write(1, "1")
    with pytest.raises(FileExistsError):
        store.write(1, "2")
    assert [path.name for path in tmp_path.rglob("*.*")] == ["anchor-000000000001.json"]


def test_a_bucket_lets_nobody_delete_an_anchor_for_years(acts: Cast, objects: Objects) -> None:
    anchor_make()
    [(key, (mode, until))] = objects.locks.items()
    assert key == "/sluice/anchors/anchor-000000000001.json"
    assert mode == "COMPLIANCE"
    assert datetime.fromisoformat(until) > timezone.now() + timedelta(days=2_500)


def test_the_trail_is_verified_against_a_bucket(acts: Cast, objects: Objects) -> None:
    anchor_make()
    project(acts.olivia, acts.acme, "Later")
    anchor_make()
    assert trail_check().is_right
    del objects.kept["/sluice/anchors/anchor-000000000002.json"]
    assert [one.what for one in trail_check().findings] == ["Anchor 2 is not where it was kept."]


def test_old_anchors_are_not_read_again_and_must_be_there(acts: Cast, objects: Objects) -> None:
    for name in ("one", "two", "three"):
        project(acts.olivia, acts.acme, name)
        anchor_make()
    objects.kept["/sluice/anchors/anchor-000000000001.json"] = b"nothing"
    assert trail_check(reread=2).is_right
    assert not trail_check().is_right
    del objects.kept["/sluice/anchors/anchor-000000000001.json"]
    assert not trail_check(reread=2).is_right


@pytest.mark.parametrize("url", ["ftp://bucket", "/plain/path", "file://", "s3://"])
def test_a_store_of_an_unknown_kind_is_refused(url: str, settings: Settings) -> None:
    settings.AUDIT_ANCHOR_URL = url
    with pytest.raises(Exception, match="AUDIT_ANCHOR_URL is a folder or a bucket"):
        anchor_store()


def test_the_setting_chooses(settings: Settings, objects: Objects) -> None:
    assert isinstance(anchor_store(), Bucket)
    settings.AUDIT_ANCHOR_URL = "file:///var/lib/an%20chors"
    assert anchor_store() == Folder(Path("/var/lib/an chors"))
