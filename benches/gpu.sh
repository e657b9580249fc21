#!/usr/bin/env bash
# Everything that is to be measured on a card, in one call; a line of JSON for each case.
#
#   benches/gpu.sh [FOLDER]
#
# FOLDER (target/gpu by default) gets results.jsonl and what each case said on standard error. With
# RUNNER_GPU_BENCH set to a benchmark that is built already, nothing is built. Python with torch,
# transformers and peft (and bitsandbytes for 8 bits) is used where it is there. SHAPE=small tries
# the script itself.
set -uo pipefail
cd "$(dirname "$0")/.."
folder=${1:-target/gpu}
shape=${SHAPE:-7b}
device=${DEVICE:-cuda:0}
mkdir -p "$folder"
results=$folder/results.jsonl
: > "$results"

bench=${RUNNER_GPU_BENCH:-}
if [[ -z $bench ]]; then
  cargo bench --features cuda --bench gpu --no-run
  bench=$(cargo bench --features cuda --bench gpu --no-run 2>&1 | sed -n 's/.*(\(.*gpu-[0-9a-f]*\)).*/\1/p')
fi

# PyTorch's wheels bring the libraries of CUDA.
libraries=$(python3 -c 'import nvidia; print(":".join(p + "/cu13/lib" for p in nvidia.__path__))' 2>/dev/null)
export LD_LIBRARY_PATH=${libraries:+$libraries:}${LD_LIBRARY_PATH:-}

try() {
  local name=$1
  shift
  echo "== $name" >&2
  if timeout 300 "$@" >> "$results" 2> "$folder/$name.err"; then
    tail -n 1 "$results" >&2
  else
    printf '{"case": "%s", "failed": true}\n' "$name" >> "$results"
    tail -n 5 "$folder/$name.err" >&2
  fi
}

ours() {
  local name=$1
  shift
  try "$name" "$bench" --device "$device" --shape "$shape" "$@"
}

command -v nvidia-smi > /dev/null && nvidia-smi > "$folder/nvidia-smi.txt"

# The kernels are compared with their twins when the card is opened; then the same losses?
for compute in f32 bf16 f16; do
  try "course-cpu-$compute" "$bench" --case course --device cpu --compute "$compute"
  try "course-card-$compute" "$bench" --case course --device "$device" --compute "$compute"
done

ours product --case product
for weights in dense q8_0 q4_k; do
  ours "train-$weights" --case train --weights "$weights"
  ours "train-24-$weights" --case train --weights "$weights" --cap-gib 24 --rows 32
  ours "checkpoint-24-$weights" --case train_checkpoint --weights "$weights" --cap-gib 24 --rows 32
  ours "score-$weights" --case score --weights "$weights" --rows 64
done

if python3 -c 'import torch, transformers, peft' 2>/dev/null; then
  peer() {
    local name=$1
    shift
    try "$name" python3 benches/gpu_peer.py --shape "$shape" --device "${device%%:*}" "$@"
  }
  peer peer-train --case train
  peer peer-checkpoint --case train_checkpoint
  peer peer-score --case score --rows 64
  if python3 -c 'import bitsandbytes' 2>/dev/null; then
    peer peer-train-q8 --case train --compute f16 --weights q8
    peer peer-checkpoint-q8 --case train_checkpoint --compute f16 --weights q8
  fi
fi
echo "$results"
