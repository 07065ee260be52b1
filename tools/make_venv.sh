#!/bin/sh
# Make .venv from requirements-dev-lock.txt: with uv when it can be had, else with pip. Either checks every hash.
set -eu
cd "$(dirname "$0")/.."

if [ ! -x .venv/bin/python ]; then
  python=
  for candidate in ${PYTHON:-python3.11 python3.12 python3.13 python3 python}; do
    if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null; then
      python=$candidate
      break
    fi
  done
  if [ -z "$python" ]; then
    echo "tritomo needs Python 3.11, 3.12 or 3.13 with the venv module; none was found (say which with make PYTHON=/path/to/python3.12)." >&2
    exit 1
  fi
  echo "Making .venv with $("$python" --version) ..."
  "$python" -m venv .venv
fi

lock=requirements-dev-lock.txt
echo "Installing $(grep -c '==' "$lock") locked packages (about 2.4 GB on disk, half a minute with uv, a few with pip) ..."
# uv itself comes from the same lock, so it is checked by hash as well.
awk '/^uv==/ {found = 1} found {print} found && !/\\$/ {exit}' "$lock" > .venv/uv-lock.txt
if .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r .venv/uv-lock.txt 2>/dev/null \
    && VIRTUAL_ENV=.venv .venv/bin/uv pip install --require-hashes -r "$lock"; then
  :
else
  echo "uv is not to be had here; going on with pip ..."
  .venv/bin/python -m pip install --disable-pip-version-check --require-hashes -r "$lock"
fi
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
touch .venv/.installed
echo "The environment is ready in .venv"
