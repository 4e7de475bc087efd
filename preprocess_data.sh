#!/usr/bin/env bash
# A data set of any known layout -> boxes, crops, landmarks, diffs, folds.csv. Run again, it does only what is missing.
# preprocess_videos.py gives the files of the four steps that it does in one, which also run alone, before or after it.
set -euo pipefail

usage() {
    cat <<'USAGE'
usage: bash preprocess_data.sh DATA_ROOT

Environment:
  PYTHON       interpreter (default: python)
  WORKERS      videos worked on at a time (default: one a core)
  SCHEDULER    a Dask cluster to work on: its scheduler's address, or "local" to start one here
  STEP_ARGS    further arguments of preprocess_videos.py, e.g. "--overwrite", "--retry-failed" or "--max-frames 900000"
  DETECT_ARGS  those on detection, e.g. "--preset published"
  CROPS_ARGS   those on crops, e.g. "--format jpg"
  DATASET_ARGS which videos, e.g. "--layout ff++ --compression c23 --methods Deepfakes" (default: all)
  OUT          where the outputs go, for a data set that stays as it is (default: DATA_ROOT)
  FOLDS_ARGS   further arguments of generate_folds.py, e.g. "--split-by original --n-splits 5"

Exit code 3: complete, but some videos failed (DATA_ROOT/failures lists them).
example: WORKERS=8 bash preprocess_data.sh /data/dfdc
         DATASET_ARGS="--compression c23" OUT=/data/ffpp_c23 bash preprocess_data.sh /data/FaceForensics++
USAGE
}

case "${1:-}" in
    -h | --help) usage; exit 0 ;;
esac
if [ $# -ne 1 ]; then
    usage >&2
    exit 2
fi

data_root=$(realpath -m -- "$1")
out=$(realpath -m -- "${OUT:-$1}")
cd "$(dirname "$(realpath "${BASH_SOURCE[0]}")")"
source ./signals.sh
python=${PYTHON:-python}
read -r -a shared <<<"${WORKERS:+--workers $WORKERS} ${SCHEDULER:+--scheduler $SCHEDULER} ${STEP_ARGS:-}"
read -r -a detect_args <<<"${DETECT_ARGS:-}"
read -r -a crops_args <<<"${CROPS_ARGS:-}"
read -r -a dataset_args <<<"${DATASET_ARGS:-}"
[ "$out" = "$data_root" ] || dataset_args+=(--out-root "$out")
read -r -a folds_args <<<"${FOLDS_ARGS:-}"

some_failed=0
step() {
    local code=0
    run "$python" "preprocessing/$1.py" --root-dir "$data_root" "${dataset_args[@]}" "${@:2}" || code=$?
    case $code in
        0) ;;
        3) some_failed=3 ;; # a few broken videos do not stop a data set
        *) exit "$code" ;;
    esac
}

step generate_folds --check "${folds_args[@]}" # a split that cannot be is known from the metadata, before hours of work
step preprocess_videos "${shared[@]}" "${detect_args[@]}" "${crops_args[@]}"
step generate_folds --out "$out/folds.csv" "${folds_args[@]}"
exit $some_failed
