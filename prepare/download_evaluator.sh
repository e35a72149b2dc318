#!/usr/bin/env bash
# Downloads the evaluators of Guo et al.; flags are those of python -m lamp.prepare.download.
exec bash "$(dirname "${BASH_SOURCE[0]}")/download.sh" evaluator "$@"
