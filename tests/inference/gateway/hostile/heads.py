"""Heads that are not what they should be: credentials, paths, hosts, methods, other headers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

from tests.inference.gateway.hostile.case import AUTH, KEY_MARK, Case, Header, head
from tests.inference.gateway.hostile.forms import FORMS
from tests.inference.gateway.hostile.good import BODIES

_CHAT: Final = "/v1/chat/completions"
_MESSAGES: Final = "/v1/messages"
_MODELS: Final = "/v1/models"
_FORGED: Final = "sluice_sk_" + "0" * 50

_CREDENTIALS: Final[dict[str, tuple[list[Header], int]]] = {
    "none": ([], 401),
    "an empty one": ([("Authorization", "")], 401),
    "a scheme alone": ([("Authorization", "Bearer")], 401),
    "a scheme and a blank": ([("Authorization", "Bearer ")], 401),
    "a forged key": ([("Authorization", f"Bearer {_FORGED}")], 401),
    "a key without a scheme": ([("Authorization", KEY_MARK)], 401),
    "basic": ([("Authorization", b"Basic " + KEY_MARK)], 401),
    "digest": ([("Authorization", b'Digest username="' + KEY_MARK + b'"')], 401),
    "negotiate": ([("Authorization", b"Negotiate " + KEY_MARK)], 401),
    "a scheme twice": ([("Authorization", b"Bearer Bearer " + KEY_MARK)], 401),
    "a list of keys": ([("Authorization", b"Bearer " + KEY_MARK + b", Bearer x")], 401),
    "a key and more": ([("Authorization", b"Bearer " + KEY_MARK + b" x")], 401),
    "a key cut short": ([("Authorization", b"Bearer " + KEY_MARK[:-1])], 401),
    "a key in quotes": ([("Authorization", b'Bearer "' + KEY_MARK + b'"')], 401),
    "10 kB": ([("Authorization", "Bearer sluice_sk_" + "0" * 10_000)], 401),
    "100 kB": ([("x-api-key", "sluice_sk_" + "0" * 100_000)], 401),
    "SQL": ([("Authorization", "Bearer ' OR '1'='1' UNION SELECT * FROM tenants_apikey --")], 401),
    "a wildcard": ([("Authorization", "Bearer %")], 401),
    "a format": ([("Authorization", "Bearer %s%n{0}{{7*7}}")], 401),
    "Unicode": ([("Authorization", "Bearer slüice_sk_\N{SNOWMAN}")], 401),
    "bytes": ([("Authorization", b"Bearer \xff\xfe\x80")], 401),
    "a digest": ([("x-api-key", "hmac:1:" + "a" * 64)], 401),
    "a session": ([("Cookie", "sessionid=x; csrftoken=y")], 401),
    "a proxy's": ([("Proxy-Authorization", b"Bearer " + KEY_MARK)], 401),
    "a header of ours": ([("X-Sluice-Organization", "acme"), ("X-Remote-User", "root")], 401),
    "with underscores": ([("x_api_key", KEY_MARK)], 401),
    "a good and a bad one": ([AUTH, ("Authorization", f"Bearer {_FORGED}")], 400),
    "a bad and a good one": ([("Authorization", f"Bearer {_FORGED}"), AUTH], 400),
    "two headers that differ": ([AUTH, ("x-api-key", _FORGED)], 400),
    "three headers that differ": ([AUTH, ("x-api-key", "a"), ("api-key", "b")], 400),
    "a good one and a basic one": ([AUTH, ("Authorization", "Basic eDp5")], 400),
    "a good and a bad x-api-key": ([("x-api-key", KEY_MARK), ("x-api-key", "x")], 400),
}

_PATHS: Final = (
    "/", "//", "/v1", "/v1/", "/v1//", "/v1/nothing", "/v2/models", "/V1/models", "/v1/Models",
    "//v1/models", "/v1//models", "/./v1/models", "/v1/../v1/models", "/v1/models/..",
    "/v1/models/../../readyz", "/v1/chat/completions/../../models", "/v1/%2e%2e/v1/models",
    "/v1/..%2f..%2fetc%2fpasswd", "/v1/models/..%2f..%2f..%2fetc%2fpasswd", "/v1\\models",
    "/v1/models;x=y", "/v1;/models", "/v1/models%00", "/v1/%00", "/%00", "/v1/models/%00",
    "/v1/models/%ff", "/v1/%ff%fe", "/v1/models/%", "/v1/models/%zz", "/v1/models/%c0%ae%c0%ae",
    "/v1/models/%0d%0aX-Injected:%201", "/v1/%0d%0aX-Injected:%201", "/v1/models/%e2%98%83",
    "/v1/models/" + "x" * 8192, "/v1/" + "x" * 8192, "/" + "a/" * 4096,
    "/v1/models/" + "%2f" * 999 + "x",
    "/admin/", "/static/../settings.py", "/metrics/x", "/healthz/x", "/.env", "/.git/config",
    "/_fake/state", "/health", "/version", "/load", "/v1/load_lora_adapter", "/tokenize",
    "/v1/models/tiny", "/v1/models/*", "/v1/models/acme", "/v1/models/acme/", "/v1/models/' OR 1=1",
    "/v1/engines", "/v1/files", "/v1/files/file-1/content", "/v1/batches/b_1/cancel", "/v1/images",
    "/v1/responses/resp_1", "/v1/responses/resp_1/cancel", "/v1/responses/resp_1/input_items",
    "/v1/messages/batches", "/v1/messages/batches/x/results", "/v1/messages/x", "/v1/messages/%00",
    "/invocations", "/pause", "/reset_prefix_cache", "/collective_rpc", "/wp-login.php", "*",
    "http://169.254.169.254/latest/meta-data/", "http://engine.internal/v1/nothing",
)  # fmt: skip

_HOSTS: Final = (
    b"", b"a b", b"a/b", b"a?b", b"a#b", b"a@b", b"a\\b", b"[::1", b"::1", b"x:y", b"x:123456",
    b"x, y", b"x;y", b"\xff", b"{{7*7}}", b"<script>", b"'", b"a" * 254, b"x" * 5000, b"a\tb",
    b"http://x", b"x/?#", b"%00", b"$(id)",
)  # fmt: skip

_METHODS: Final = ("GET", "HEAD", "PUT", "PATCH", "DELETE", "TRACE", "BREW", "post", "Post", "PRI",
                   "PROPFIND", "X" * 1000)  # fmt: skip


def cases() -> Iterator[Case]:
    yield from _credentials()
    yield from _paths()
    yield from _hosts()
    yield from _methods()


def _credentials() -> Iterator[Case]:
    for name, (headers, status) in _CREDENTIALS.items():
        for method, path in (("GET", _MODELS), ("POST", _CHAT), ("POST", _MESSAGES)):
            body = json.dumps(BODIES["chat/completions"]).encode() if method == "POST" else b""
            length: Header = ("Content-Length", str(len(body)))
            start = head(method, path, [*headers, length])
            label = f"{path}: {name} for a credential"
            yield Case(label, (start + body,), frozenset({status}), path)
    for query in ("?api_key=", "?key=", "?access_token=", "?authorization=Bearer%20"):
        start = head("GET", _MODELS + query, []).replace(query.encode(), query.encode() + KEY_MARK)
        yield Case(f"a key in {query}", (start,), frozenset({401}), _MODELS)


def _paths() -> Iterator[Case]:
    for path in _PATHS:
        shown = path if len(path) < 60 else f"{path[:60]}… ({len(path)})"
        raw = path.replace(" ", "%20")
        for method in ("GET", "POST"):
            length = ("Content-Length", "0")
            start = head(method, raw, [AUTH, length])
            shape = "/v1/messages" if raw.startswith("/v1/messages/") else "/v1"
            yield Case(f"{method} {shown}", (start,), frozenset({400, 404, 405}), shape)
    yield Case("a path without a key", (head("GET", "/v1/nothing", []),), frozenset({401}))


def _hosts() -> Iterator[Case]:
    for host in _HOSTS:
        yield Case(f"the host {host[:30]!r}", (head("GET", _MODELS, [AUTH], host=host),))
    two = [AUTH, ("Host", "other.test")]
    yield Case("two hosts", (head("GET", _MODELS, two),))
    yield Case("one host, twice", (head("GET", _MODELS, [AUTH, ("Host", "gateway.test")]),))
    yield Case("no host", (head("GET", _MODELS, [AUTH], host=None),))
    yield Case("a bad host for Anthropic", (head("GET", _MESSAGES, [AUTH], host=b"a b"),),
               path=_MESSAGES)  # fmt: skip


def _methods() -> Iterator[Case]:
    for path in ["/v1/" + path for path in (*BODIES, *FORMS)]:
        for method in _METHODS:
            yield _wrong_method(method, path)
    for method in ("POST", "PUT", "PATCH", "DELETE", "TRACE", "get", "BREW"):
        for path in (_MODELS, "/v1/models/acme/tiny", "/healthz", "/readyz"):
            yield _wrong_method(method, path)


def _wrong_method(method: str, path: str) -> Case:
    start = head(method, path, [AUTH, ("Content-Length", "0")])
    name = f"{method[:20]} {path}"
    return Case(name, (start,), frozenset({405}), path, is_head=method == "HEAD")
