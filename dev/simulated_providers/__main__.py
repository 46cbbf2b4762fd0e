"""``python -m dev.simulated_providers --port 8788``: serves the simulated vendors until interrupted."""

from __future__ import annotations

import argparse

import uvicorn

from .server import configured, create_app


def main() -> None:
    """Parses the command line and serves."""
    parser = argparse.ArgumentParser(description="Simulated OpenAI and Anthropic APIs")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8788)
    parser.add_argument("--model", action="append", default=[], help="a further model name to accept (repeatable)")
    options = parser.parse_args()
    app = create_app(models=tuple(options.model))
    print(f"simulated providers: http://{options.host}:{options.port}/openai/v1 and …/anthropic/v1", flush=True)
    uvicorn.Server(configured(app, options.port, options.host)).run()


if __name__ == "__main__":
    main()
