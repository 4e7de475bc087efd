#!/usr/bin/env bash
# TEST_DIR -> CSV: scores every video with a published ensemble.
set -euo pipefail

usage() {
    cat <<'USAGE'
usage: bash predict_submission.sh TEST_DIR CSV [ENSEMBLE] [ARGUMENT...]

  ENSEMBLE  first_place (seven EfficientNet-B7; default), second_place (Xception, two WS-DAN), both: a name in
            configs/ensembles, or a file like those

Further arguments go to predict_folder.py, e.g. --details details.json --precision bf16.

Environment:
  PYTHON       interpreter (default: python)
  WEIGHTS_DIR  folder of checkpoints (default: weights)
  MODELS       names of checkpoints in it, instead of an ensemble

Exit code 3: complete, but some videos have no score.
example: bash predict_submission.sh /data/test_videos submission.csv second_place
USAGE
}

case "${1:-}" in
    -h | --help) usage; exit 0 ;;
esac
if [ $# -lt 2 ]; then
    usage >&2
    exit 2
fi

test_dir=$(realpath -m -- "$1")
csv=$(realpath -m -- "$2")
shift 2
ensemble=first_place
if [ $# -gt 0 ] && [[ "$1" != -* ]]; then
    ensemble=$1
    shift
fi
home=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
if [ -n "${MODELS:-}" ]; then
    read -r -a names <<<"$MODELS"
    chosen=(--models "${names[@]}")
else
    chosen=(--ensemble "$ensemble")
fi

exec "${PYTHON:-python}" "$home/predict_folder.py" --test-dir "$test_dir" --output "$csv" \
    --weights-dir "${WEIGHTS_DIR:-$home/weights}" "${chosen[@]}" "$@"
