"""A fake vLLM 0.32 server: an ASGI app that answers in the shapes recorded from a real one.

Run it with ``python -m tests.fake_vllm --port 9000``, or in a test::

    with fake_vllm.running(model="tiny") as engine:
        ...  # engine.url, engine.state(), engine.reset()

**Counts** follow from the request alone. Prompt tokens are the whitespace-separated words of all
messages (or of the prompt) + 8. Output tokens are ``max_completion_tokens``, else ``max_tokens``,
else 16, per choice; cached tokens are 0. Commands change them.

**Capacity**: it runs any number of requests at once, or as many as it is given ``slots``; others
wait by their ``priority``, then in the order in which they came.

**Commands** stand anywhere in the text of the last user message (or in the prompt), so that they
pass through any gateway:

| Command | The engine |
|---|---|
| ``!tokens N`` | stops by itself after N tokens (never more than was asked for) |
| ``!cached N`` | says that N prompt tokens came from its cache |
| ``!slow-first MS`` | waits before the first token |
| ``!delay MS`` | waits before each token |
| ``!reason N`` | thinks for N tokens first, which count like all others |
| ``!tool NAME JSON`` | calls NAME with the JSON, after N ``!tokens`` (0) of text; also twice |
| ``!say JSON`` | says the JSON in place of its words, to its end |
| ``!stop-string X`` | stops at the text X, which ends at the next blank |
| ``!empty`` | gives its first token without text, as vLLM does within a UTF-8 character |
| ``!stall [N]`` | gives N tokens (3) and then nothing, the connection left open |
| ``!die [N]`` | gives N tokens (3) and then cuts the connection |
| ``!garbage`` | answers with what is not JSON (streamed: in place of the first token) |
| ``!status N`` | answers with the error N |
| ``!late-fault`` | refuses a JSON schema, of a stream in its first event |

``GET /_fake/state`` tells what the tests assert on, ``GET /_fake/given`` the tokens of each answer
by its id, ``POST /_fake/reset`` forgets both. A client that leaves stops its generation at once and
is counted in ``aborted``.
"""

from __future__ import annotations

from tests.fake_vllm.app import app
from tests.fake_vllm.server import FakeVllm, running

__all__ = ["FakeVllm", "app", "running"]
