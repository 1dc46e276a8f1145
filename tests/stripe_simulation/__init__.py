"""Two customers and an operator over two weeks, with Stripe's double between faults.

Each story (who buys, uses, refunds and pays what, and when) is told first without any fault, then
under many seeds: requests and answers are lost, 500s are kept, webhooks come late, twice, in any
order or not at all, and for three days nothing arrives. The end must be the same, and each row of
the outbox that makes something has made one object.
"""
