#!/bin/sh
# Writes the six lock files anew: exact versions with the hashes of every wheel, for Python 3.11 and later on every platform.
#
#   layers/dependencies/requirements.txt   what the dependencies layer ships (arm64 and x86_64 alike)
#   requirements/run.txt                   `make run`: the product's dependencies, a local server and the local store
#   requirements/test.txt                  `make test`: run.txt and the test tools
#   requirements/sam-cli.txt               `make test`: the Runtime Interface Emulator
#   bench/litellm.txt                      `make bench SECTIONS=litellm`: what it compares with
#   bench/token_counters/requirements.txt      `make bench SECTIONS=tokens`: Mistral's tokenizers
#
# The layer is locked first and constrains the other two, so what is tested is what is deployed.
#
# usage: scripts/lock.sh [--upgrade | --upgrade-package NAME …]      (needs `uv`)
set -eu
cd "$(dirname "$0")/.."
export UV_CUSTOM_COMPILE_COMMAND="make lock"
lock() {
  # Index addresses stay out of the files: each machine installs from the index that it is configured for.
  uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-emit-index-url --no-emit-find-links "$@"
}
layer=layers/dependencies/requirements.txt
lock "$@" --output-file "$layer" layers/dependencies/requirements.in
# Lambda has CPython only, and the layer's builder evaluates no markers.
sed -E -i.old "s/ ; [a-z_]+ != 'PyPy'( and [a-z_]+ != 'PyPy')*//" "$layer" && rm "$layer.old"
lock "$@" --output-file requirements/run.txt --constraints "$layer" --extra run pyproject.toml
lock "$@" --output-file requirements/test.txt --constraints requirements/run.txt --extra test pyproject.toml
# The SAM CLI alone: its requirements clash with ours, and only the Runtime Interface Emulator inside it is used.
lock "$@" --no-deps --output-file requirements/sam-cli.txt requirements/sam-cli.in
# Apart from all of them: they are installed into environments of their own.
lock "$@" --output-file bench/litellm.txt bench/litellm.in
lock "$@" --output-file bench/token_counters/requirements.txt bench/token_counters/requirements.in
