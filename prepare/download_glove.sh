#!/usr/bin/env bash
# Downloads the evaluators' word vectors; flags are those of python -m lamp.prepare.download.
exec bash "$(dirname "${BASH_SOURCE[0]}")/download.sh" glove "$@"
