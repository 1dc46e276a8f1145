"""The contract of Stripe's double: the same calls as to Stripe itself, where a test key is given.

`STRIPE_TEST_KEY=sk_test_… pytest tests/fakestripe` makes each contract twice, once to the double
and once to Stripe in test mode. Without a key the run says at its end that this was not done.
"""
