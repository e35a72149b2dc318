#!/usr/bin/env bash
# Downloads MoMask's and LaMP's checkpoints; flags are those of python -m lamp.prepare.download.
exec bash "$(dirname "${BASH_SOURCE[0]}")/download.sh" models "$@"
