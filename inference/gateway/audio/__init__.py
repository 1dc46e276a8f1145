"""OpenAI's transcriptions and translations: a file in a form, and texts with times out of it."""
