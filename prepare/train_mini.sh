#!/usr/bin/env bash
# From raw captures to the shipped models: one command, which goes on where it was stopped.
#
#   prepare/train_mini.sh --bandai_namco DIR --cmu DIR --animated_drawings DIR --accad DIR ...
#
# Arguments are those of `build_dataset --preset mini` (README, "The mini data set"); they are read the first time only.
# No stage takes more than two hours on two CPU cores at a time: MINUTES (110) stops it cleanly, and the same command goes
# on. Data lie in DATA (dataset): mini, mini_composed, and mini_tokens, from which the generators train. The state of each
# stage lies in CHECKPOINTS (checkpoints)/mini/<run>. CONFIGS (options/mini) are the stages' options; copies with smaller
# numbers try all of it. GPU=0 trains on a GPU.
set -euo pipefail
cd "$(dirname "$0")/.."

PYTHON=${PYTHON:-python} MINUTES=${MINUTES:-110} GPU=${GPU:--1}
DATA=${DATA:-dataset} CHECKPOINTS=${CHECKPOINTS:-checkpoints} CONFIGS=${CONFIGS:-options/mini}
runs=$CHECKPOINTS/mini

stage() { # stage SCRIPT CONFIG [FLAG...]: trains until its last iteration, from where it was
  local script=$1 config=$CONFIGS/$2 name
  shift 2
  name=$("$PYTHON" -c 'import json, sys; print(json.load(open(sys.argv[1]))["name"])' "$config")
  if [ -e "$runs/$name.done" ]; then
    echo "$name: done (state in $runs/$name)"
    return
  fi
  local resume=()
  [ ! -d "$runs/$name/state" ] || resume=(--is_continue)
  echo "== $name: state in $runs/$name"
  "$PYTHON" "$script" --config "$config" --checkpoints_dir "$CHECKPOINTS" --gpu_id "$GPU" --max_minutes "$MINUTES" \
    ${resume[@]+"${resume[@]}"} "$@" | tee "$runs/$name.log"
  if ! grep -q '^finished' "$runs/$name.log"; then
    echo "$name was stopped after $MINUTES minutes; the same command goes on"
    exit 0
  fi
  touch "$runs/$name.done"
}

mkdir -p "$runs"
[ -d "$DATA/mini" ] || "$PYTHON" -m lamp.prepare.build_dataset --preset mini "$@" --out "$DATA/mini"
[ -d "$DATA/mini_composed" ] || "$PYTHON" -m lamp.prepare.mini.compose --data "$DATA/mini" --out "$DATA/mini_composed"
motion=(--data_root "$DATA/mini_composed") tokens=(--data_root "$DATA/mini_tokens" --animate_every_e 0)

stage train_vq.py vq.json "${motion[@]}"
[ -d "$DATA/mini_tokens" ] || "$PYTHON" -m lamp.prepare.shards.to_shards --dataset_name mini "${motion[@]}" \
  --tokenizer "$runs/rvq" --gpu_id "$GPU" --out "$DATA/mini_tokens"
stage train_lamp.py lamp.json "${motion[@]}"
stage train_t2m_transformer.py masked.json "${tokens[@]}"
stage train_t2m_transformer.py residual.json "${tokens[@]}"
stage train_length_estimator.py length.json --data_root "$DATA/mini_tokens"
stage train_m2t.py m2t.json "${motion[@]}"
echo "all stages are done; ship them with: $PYTHON -m lamp.prepare.ship weights --dataset_name mini --vq rvq --lamp lamp_run" \
  "--masked masked_run --residual residual_run --length length_run --m2t m2t_run"
