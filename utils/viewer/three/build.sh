#!/usr/bin/env bash
# Makes three.min.js and LICENSE beside this file from the packages of npm (Node.js is needed for this alone).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
npm install --silent --no-audit --no-fund --prefix "$work" three@0.187.0 esbuild@0.28.2
cp "$here/entry.js" "$work/entry.js"
"$work/node_modules/.bin/esbuild" "$work/entry.js" --bundle --minify --format=iife --global-name=THREE \
    --target=es2020 --charset=ascii --legal-comments=inline --outfile="$here/three.min.js"
cp "$work/node_modules/three/LICENSE" "$here/LICENSE"
