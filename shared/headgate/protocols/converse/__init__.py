"""Bedrock's ConverseStream, upstream side only."""

PROTOCOL = "converse"
