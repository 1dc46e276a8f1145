"""A small OpenID Connect provider over HTTP, which can lie in each of the ways that matter."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, override
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

CLIENT_ID = "sluice"
CLIENT_SECRET = "a secret between the two"


@dataclass
class Provider:
    """Whoever comes is `person`. `fault` is the claim, or the step, that is wrong."""

    issuer: str = ""
    person: dict[str, Any] = field(default_factory=dict)
    fault: str = ""
    asked: dict[str, str] = field(default_factory=dict)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    key: Any = field(default_factory=lambda: rsa.generate_private_key(65537, 2048))

    def configuration(self) -> dict[str, Any]:
        issuer = "https://evil.test" if self.fault == "discovery" else self.issuer
        return {
            "issuer": issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/jwks",
            "token_endpoint_auth_methods_supported": ["client_secret_post"],
        }

    def jwks(self) -> dict[str, Any]:
        public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key()))
        return {"keys": [public | {"kid": "1", "alg": "RS256", "use": "sig"}]}

    def authorize(self, asked: dict[str, str]) -> str:
        """Where the browser is sent: back, with a code."""
        self.asked = asked
        code = secrets.token_urlsafe(8)
        self.codes[code] = asked
        return f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}"

    def token(self, sent: dict[str, str]) -> dict[str, str] | None:
        """Tokens for a code, once, and only to who can show what was hashed for it."""
        asked = self.codes.pop(sent.get("code", ""), None)
        shown = hashlib.sha256(sent.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(shown).rstrip(b"=").decode()
        secret = (sent.get("client_id"), sent.get("client_secret"))
        if asked is None or secret != (CLIENT_ID, CLIENT_SECRET):
            return None
        if asked.get("code_challenge_method") != "S256" or asked["code_challenge"] != challenge:
            return None
        return {"access_token": "at", "token_type": "Bearer", "id_token": self._id_token(asked)}

    def _id_token(self, asked: dict[str, str]) -> str:
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": CLIENT_ID,
            "nonce": asked.get("nonce", ""),
            "iat": now,
            "exp": now + 60,
        } | self.person
        wrong = {"iss": "https://evil.test", "aud": "another", "nonce": "another", "exp": now - 9}
        if self.fault in wrong:
            claims[self.fault] = wrong[self.fault]
        forged = self.fault == "signature"
        key = rsa.generate_private_key(65537, 2048) if forged else self.key
        return jwt.encode(claims, key, algorithm="RS256", headers={"kid": "1"})


@contextmanager
def provider_running() -> Iterator[Provider]:
    provider = Provider()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            if parts.path == "/authorize":
                asked = {name: one for name, (one, *_) in parse_qs(parts.query).items()}
                self.send_response(302)
                self.send_header("Location", provider.authorize(asked))
                self.send_header("Content-Length", "0")
                self.end_headers()
            elif parts.path == "/jwks":
                self._json(provider.jwks())
            elif parts.path == "/.well-known/openid-configuration":
                self._json(provider.configuration())
            else:
                self._json({}, 404)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            tokens = provider.token({name: one for name, (one, *_) in parse_qs(body).items()})
            self._json(tokens or {"error": "invalid_grant"}, 200 if tokens else 400)

        def _json(self, answer: dict[str, Any], status: int = 200) -> None:
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        @override
        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    provider.issuer = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield provider
    server.shutdown()
    thread.join()
    server.server_close()
