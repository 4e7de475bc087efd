#!/usr/bin/env bash
# The whole pipeline on a data set made on the spot: environment, sample data, preprocessing, training, prediction.
# Run again, it redoes only what is missing.
set -euo pipefail

if [[ "${1:-}" == "-h" || "${1:-}" == "--help" ]]; then
    cat <<'USAGE'
usage: bash demo.sh [FOLDER]

  FOLDER  where everything goes but the environment (default: demo_data in this project)

environment (default):
  PYTHON (.venv, made if need be)  interpreter with the project installed

example: bash demo.sh /tmp/demo
USAGE
    exit 0
fi

data=$(realpath -m -- "${1:-$(dirname "${BASH_SOURCE[0]}")/demo_data}")
cd "$(dirname "${BASH_SOURCE[0]}")"
source ./signals.sh
source ./setup_env.sh
use_environment "" # no extra
started=$SECONDS
headline() { printf '\n== %s ==\n' "$1"; }

headline "1/5 Sample data: clips of two public-domain portraits, and face-swapped fakes of them"
run "$PYTHON" preprocessing/make_sample_data.py --out "$data"

# Folds by original: each holds clips of both persons. By part folder, one person to a fold, a network that has learned
# whose face goes with "fake" would be wrong on every clip of the other fold.
headline "2/5 Preprocessing: boxes, crops, landmarks, masks, folds"
DETECT_ARGS="--every 4" FOLDS_ARGS="--split-by original --n-splits 4" run bash preprocess_data.sh "$data"

headline "3/5 Training: a tiny network, fold 0 validates"
export WEIGHTS_DIR=$data/weights
seed=777
# One thread for so small a network; another process reads and augments its crops.
OMP_NUM_THREADS=1 CONFIG=configs/tiny.json SEEDS=$seed FOLD=0 LOGS_DIR=$data/logs \
    run bash train.sh "$data" 0 --workers 1

headline "4/5 Loss curve"
run "$PYTHON" plot_loss.py --log-file "$data/logs/tiny_$seed" --out "$data/logs/loss.png"

headline "5/5 Prediction: four clips that training has not seen"
models=("$WEIGHTS_DIR/tiny_${seed}_"*_last)
scores=$data/submission.csv
if [[ ! $scores -nt ${models[0]} ]]; then
    MODELS=$(basename "${models[0]}") run bash predict_submission.sh "$data/test_videos" "$scores"
else
    echo "newer than the network: $scores"
fi

printf '\n%-32s %-6s %s\n' video label "score (0 real .. 1 fake)"
awk -F, 'FNR == 1 { next } NR == FNR { label[$1] = $2; next } { printf "%-32s %-6s %.3f\n", $1, label[$1] ? "fake" : "real", $2 }' \
    "$data/test_videos/labels.csv" "$scores"

cat <<FILES

Everything is in $data:
  dfdc_train_part_0, _1   training clips with metadata.json, in DFDC's layout
  test_videos             the four clips above, labels.csv
  boxes crops landmarks diffs folds.csv   what preprocessing made of them
  weights                 checkpoints and the resolved config
  logs                    training log, loss.png, tensorboard
  submission.csv          the scores above
The network is tiny and has seen two people: its scores show that the machinery works, nothing else.
Done in $((SECONDS - started)) s, the environment not counted.
FILES
