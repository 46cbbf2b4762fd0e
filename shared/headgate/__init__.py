"""Headgate: an LLM gateway that runs in your own AWS account."""

__version__ = "0.1.0"
