"""The management API: what the pages do, for scripts. In OpenAI's shapes where it has one.

A view declares what it reads and answers as structs; `operations` does the rest: who calls, what
they may, what they sent, and the answer, errors included.
"""
