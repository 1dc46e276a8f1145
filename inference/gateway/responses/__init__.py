"""OpenAI's Responses API, translated into chats with an engine and back; nothing is stored."""
