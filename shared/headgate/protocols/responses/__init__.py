"""OpenAI's Responses API, on both sides: as a server to our clients and as a client to an upstream."""
