"""A double of Stripe's API: an ASGI app for `make up` and tests, that speaks as test mode does.

Run it with `python -m console.fakestripe --port 9100`, or in a test, without any socket::

    fake = FakeStripe(clock=time.time, seed=1)
    client = StripeClient(API_KEY, http_client=fake.http_client(), max_network_retries=0)
    client.v1.customers.create({"name": "Acme"}, {"idempotency_key": "v1:customer:1"})
    fake.deliver(send)  # signed webhooks that are due: send(body, headers) gives a status
    fake.pay(session.url)  # what a person does on the hosted page, with the card 4242…

**Requests** are checked by the SDK's own typed parameters; what they do not know is refused in
Stripe's words. **Idempotency** is v1's: the first answer of a key is kept, a 500 too, for 24 hours
of the clock. **Faults** and the order of **webhooks** follow from the seed alone (`faults.py`,
`webhooks.py`). **State** lives in memory, and with `journal=` in a file that outlives a kill.
"""

from __future__ import annotations

from console.fakestripe.account import API_KEY, WEBHOOK_SECRET
from console.fakestripe.fake import FakeStripe
from console.fakestripe.faults import Fault, SeededFaults
from console.fakestripe.http import ConnectionLost, Request, Response
from console.fakestripe.webhooks import Delays, in_order

__all__ = [
    "API_KEY",
    "WEBHOOK_SECRET",
    "ConnectionLost",
    "Delays",
    "FakeStripe",
    "Fault",
    "Request",
    "Response",
    "SeededFaults",
    "in_order",
]
