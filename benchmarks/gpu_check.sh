#!/usr/bin/env bash
# Tests and timings of a GPU from a bare checkout, in 8 minutes at most; see benchmarks/gpu_check.py for the flags.
set -euo pipefail
cd "$(dirname "$0")/.."
exec "${PYTHON:-python3}" -m benchmarks.gpu_check "$@"
