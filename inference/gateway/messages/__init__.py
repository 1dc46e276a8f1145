"""Anthropic's Messages API, translated into chats with an engine and back."""
