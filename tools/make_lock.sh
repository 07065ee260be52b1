#!/bin/sh
# Renew both locks, for Python 3.11 to 3.13 on every platform, with hashes and without the address of any index.
set -eu
cd "$(dirname "$0")/.."
uv=$(command -v uv || echo .venv/bin/uv)
compile() { "$uv" pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url "$@"; }
compile requirements.in -o requirements-lock.txt
compile -c requirements-lock.txt requirements-dev.in -o requirements-dev-lock.txt
echo "Wrote requirements-lock.txt and requirements-dev-lock.txt"
