#!/usr/bin/env bash
# From raw captures to the shipped models: one command, which goes on where it was stopped.
#
#   prepare/train_mini.sh --bandai_namco DIR --cmu DIR --animated_drawings DIR --accad DIR ...
#
# Arguments are those of `build_dataset --preset mini` (README, "The mini data set"). No stage takes more than two hours
# on two CPU cores at a time: MINUTES (110) stops it cleanly, and the same command goes on. Data lie in dataset/mini and
# dataset/mini_composed, the state of each stage in checkpoints/mini/<run>/state. GPU=0 trains on a GPU.
set -euo pipefail
cd "$(dirname "$0")/.."

PYTHON=${PYTHON:-python} MINUTES=${MINUTES:-110} GPU=${GPU:--1}
runs=checkpoints/mini

stage() { # stage SCRIPT CONFIG [FLAG...]: trains until its last iteration, from where it was
  local script=$1 config=$2 name
  shift 2
  name=$("$PYTHON" -c 'import json, sys; print(json.load(open(sys.argv[1]))["name"])' "$config")
  if [ -e "$runs/$name.done" ]; then
    echo "$name: done (state in $runs/$name)"
    return
  fi
  local resume=()
  [ ! -d "$runs/$name/state" ] || resume=(--is_continue)
  echo "== $name: state in $runs/$name"
  "$PYTHON" "$script" --config "$config" --gpu_id "$GPU" --max_minutes "$MINUTES" "${resume[@]}" "$@" | tee "$runs/$name.log"
  if ! grep -q '^finished' "$runs/$name.log"; then
    echo "$name was stopped after $MINUTES minutes; the same command goes on"
    exit 0
  fi
  touch "$runs/$name.done"
}

mkdir -p "$runs"
[ -d dataset/mini ] || "$PYTHON" -m lamp.prepare.build_dataset --preset mini "$@" --out dataset/mini
[ -d dataset/mini_composed ] || "$PYTHON" -m lamp.prepare.mini.compose --data dataset/mini --out dataset/mini_composed
data=(--data_root dataset/mini_composed)

stage train_vq.py options/mini/vq.json "${data[@]}"
stage train_lamp.py options/mini/lamp.json "${data[@]}"
stage train_t2m_transformer.py options/mini/masked.json "${data[@]}"
stage train_t2m_transformer.py options/mini/residual.json "${data[@]}"
stage train_length_estimator.py options/mini/length.json "${data[@]}"
stage train_m2t.py options/mini/m2t.json "${data[@]}"
echo "all stages are done; ship them with: $PYTHON -m lamp.prepare.ship weights --dataset_name mini --vq rvq --lamp lamp_run" \
  "--masked masked_run --residual residual_run --length length_run --m2t m2t_run"
