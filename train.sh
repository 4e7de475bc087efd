#!/usr/bin/env bash
# Trains the ensemble: one network per seed, one process a GPU. Run it again to go on where it was.
set -euo pipefail

usage() {
    cat <<'USAGE'
usage: bash train.sh DATA_ROOT NUM_GPUS [option ...]

  DATA_ROOT  a data set that preprocess_data.sh has been over
  NUM_GPUS   GPUs of this machine to train one network on; 0 trains on the CPU
  option     handed to training/pipelines/train_classifier.py (see its --help)

environment (default):
  SEEDS        one network each (111 555 777 888 999)
  CONFIG       the recipe (configs/b7.json)
  FOLD         the fold that validates (0)
  NPROC        processes if NUM_GPUS is 0 (1)
  WEIGHTS_DIR  checkpoints (weights)
  LOGS_DIR     LOGS_DIR/b7_SEED is the log for plot_loss.py (logs)
  PYTHON       interpreter (python)

A killed run goes on after its last whole epoch; a finished seed is skipped.

example:
  SEEDS="111 555" CONFIG=configs/b5.json bash train.sh /data/dfdc 4 --workers 8
USAGE
}

if [[ "${1:-}" == "-h" || "${1:-}" == "--help" ]]; then
    usage
    exit 0
fi
if [[ $# -lt 2 || ! "$2" =~ ^[0-9]+$ ]]; then
    usage >&2
    exit 2
fi
data_root=$(realpath -m -- "$1")
num_gpus=$2
shift 2

read -r -a seeds <<<"${SEEDS:-111 555 777 888 999}"
config=${CONFIG:+$(realpath -m -- "$CONFIG")}
fold=${FOLD:-0}
weights=${WEIGHTS_DIR:+$(realpath -m -- "$WEIGHTS_DIR")}
logs=${LOGS_DIR:+$(realpath -m -- "$LOGS_DIR")}
python=${PYTHON:-python}
cd "$(dirname "$(realpath "${BASH_SOURCE[0]}")")" # the defaults are this project's folders
config=${config:-configs/b7.json}
weights=${weights:-weights}
logs=${logs:-logs}
recipe=$(basename "$config" .json)

processes=$num_gpus
device=cuda
if [[ $num_gpus -eq 0 ]]; then
    processes=${NPROC:-1}
    device=cpu
fi
launch=("$python" training/pipelines/train_classifier.py)
if [[ $processes -gt 1 ]]; then
    launch=("$python" -m torch.distributed.run --standalone --nproc_per_node "$processes"
        training/pipelines/train_classifier.py --distributed)
fi

mkdir -p "$weights" "$logs"
for seed in "${seeds[@]}"; do
    name="${recipe}_${seed}"
    echo "training $name (log: $logs/$name)"
    "${launch[@]}" --config "$config" --data-dir "$data_root" --fold "$fold" --seed "$seed" --device "$device" \
        --prefix "${name}_" --output-dir "$weights" --logdir "$logs/tensorboard/$name" --resume auto "$@" |
        tee -a "$logs/$name"
done
