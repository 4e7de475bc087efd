#!/usr/bin/env bash
# Trains the ensemble: one network per seed, one process a GPU. Run it again to go on where it was.
set -euo pipefail

usage() {
    cat <<'USAGE'
usage: bash train.sh DATA_ROOT NUM_GPUS [option ...]

  DATA_ROOT  a data set that preprocess_data.sh has been over; for second place's recipes a folder of aligned faces;
             for first place's also shards of pack_shards.py: a folder, a pattern, or a URL
  NUM_GPUS   GPUs of this machine to train one network on; 0 trains on the CPU
  option     handed to the recipe's command in training/pipelines (see its --help)

environment (default):
  SEEDS        one network each (111 555 777 888 999)
  CONFIG       the recipe (configs/b7.json)
  FOLD         the fold that validates (0); second place's recipes have none
  NPROC        processes if NUM_GPUS is 0 (1)
  NNODES       machines that train together (1); run the same command on each, on shared folders, with
  NODE_RANK    its number, from 0 (0), and
  RDZV         HOST:PORT of machine 0, where they meet
  MAX_RESTARTS how often a network's processes start again after one has died (0; 3 with NNODES)
  WEIGHTS_DIR  checkpoints (weights)
  LOGS_DIR     LOGS_DIR/b7_SEED is the log for plot_loss.py, one for all machines: the main process, which may run on
               any of them, writes it (logs)
  PYTHON       interpreter (python)

A killed run goes on after its last checkpoint (of an epoch, or of every 500th step in one: --checkpoint-every); a
finished seed is skipped. SIGTERM saves, and ends all with exit code 0.

examples:
  SEEDS="111 555" CONFIG=configs/b5.json bash train.sh /data/dfdc 4 --workers 8
  NNODES=2 NODE_RANK=0 RDZV=10.0.0.1:29400 SEEDS=111 bash train.sh /data/dfdc 8    # and NODE_RANK=1 on the other
  SEEDS=777 CONFIG=configs/wsdan_xception.json bash train.sh /data/faces 4 --init weights/xception-hg-2.pth
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
nnodes=${NNODES:-1}
node_rank=${NODE_RANK:-0}
restarts=${MAX_RESTARTS:-$((nnodes > 1 ? 3 : 0))}
if [[ $nnodes -gt 1 && -z "${RDZV:-}" ]]; then
    echo "NNODES=$nnodes needs RDZV=HOST:PORT, the same on all machines, where machine 0 is reached" >&2
    exit 2
fi
data_root=$1
[[ $data_root == *://* ]] || data_root=$(realpath -m -- "$1")
num_gpus=$2
shift 2

read -r -a seeds <<<"${SEEDS:-111 555 777 888 999}"
config=${CONFIG:+$(realpath -m -- "$CONFIG")}
fold=${FOLD:-0}
weights=${WEIGHTS_DIR:+$(realpath -m -- "$WEIGHTS_DIR")}
logs=${LOGS_DIR:+$(realpath -m -- "$LOGS_DIR")}
python=${PYTHON:-python}
cd "$(dirname "$(realpath "${BASH_SOURCE[0]}")")" # the defaults are this project's folders
source ./signals.sh
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
# A config that cannot be read is reported by the command itself.
network=$("$python" -c 'import json, sys; print(json.load(open(sys.argv[1]))["network"])' "$config" 2>/dev/null) || network=""
pipeline=training/pipelines/train_classifier.py
split=(--fold "$fold")
case "$network" in
xception) pipeline=training/pipelines/train_xception.py split=() ;;
wsdan_*) pipeline=training/pipelines/train_wsdan.py split=() ;;
esac
launcher=("$python" training/pipelines/launch.py --nproc_per_node "$processes" --max_restarts "$restarts")
is_first=$([[ $node_rank -eq 0 ]] && echo true || echo false)

for seed in "${seeds[@]}"; do
    name="${recipe}_${seed}"
    launch=("$python" "$pipeline")
    if [[ $nnodes -gt 1 ]]; then
        launch=("${launcher[@]}" --nnodes "$nnodes" --rdzv_backend c10d --rdzv_endpoint "$RDZV"
            --rdzv_id "$name" --rdzv_conf "is_host=$is_first" "$pipeline" --distributed)
    elif [[ $processes -gt 1 || $restarts -gt 0 ]]; then
        launch=("${launcher[@]}" --standalone "$pipeline" --distributed)
    fi
    echo "training $name (log: $logs/$name)"
    code=0
    run_on "${launch[@]}" --config "$config" --data-dir "$data_root" "${split[@]}" --seed "$seed" --device "$device" \
        --prefix "${name}_" --output-dir "$weights" --logdir "$logs/tensorboard/$name" --log-file "$logs/$name" \
        --resume auto "$@" || code=$?
    [[ -z "$stopped" || $code -ne 143 ]] || code=0 # it had not even begun
    [[ $code -eq 0 ]] || exit "$code"
    # The signal may have come to another machine, or to the process that trains.
    if [[ -n "$stopped" ]] || [[ $(tail -n 1 "$logs/$name" 2>/dev/null) == *" stopped in epoch "* ]]; then
        echo "stopped; the same command goes on"
        exit 0
    fi
done
