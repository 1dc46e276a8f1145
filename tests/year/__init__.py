"""A year of 20 organizations, with PostgreSQL, Valkey and Stripe's double, on a clock of our own.

`story` says who does what and when; all that reaches the product goes through `stage`, which keeps
a log of it: records of usage, acts of people, beats of the worker, webhooks, and what the provider
answered. `oracle` works out from plain prices what all of it must come to, and `checks` compares.
The log alone, performed again on an empty database, must give the same tables (`fingerprint`).

The clock of this process is moved; that of PostgreSQL, which guards prices that have begun, is not.
"""
