"""Cohere's chat API, version 2, upstream side only."""

PROTOCOL = "cohere"
