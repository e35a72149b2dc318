#!/usr/bin/env bash
# Runs python -m lamp.prepare.download with the first Python that has what it needs: $PYTHON, the active one, that of .venv.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
needs='import importlib.util as u, sys; sys.exit(not all(map(u.find_spec, ("gdown", "numpy", "tqdm"))))'
for python in ${PYTHON:+"$PYTHON"} python .venv/bin/python python3; do
    if "$python" -c "$needs" 2>/dev/null; then
        exec "$python" -m lamp.prepare.download "$@"
    fi
done
echo "error: no Python here has the packages for downloads; run pip install -e '.[download]' in this project's environment" >&2
exit 2
