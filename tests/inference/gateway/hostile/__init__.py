"""Hostile requests: what each is, what it may be answered, and the proof that nothing broke.

`corpus` holds them all: `fields` makes its own from the table of endpoints, the rest is by hand.
`send` sends them as bytes, since no client library would.
"""
