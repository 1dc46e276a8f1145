"""The client side of the playground: asks the gateway over HTTP, like any developer, and shows it.

Nothing that is asked or answered is kept: a conversation travels in the form of its page.
"""
