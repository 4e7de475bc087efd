#!/usr/bin/env bash
# VIDEOS -> aligned faces and their list, second place's training data. Run again, it does only what is missing.
set -euo pipefail

usage() {
    cat <<'USAGE'
usage: bash make_dataset.sh VIDEOS OUT [option ...]

  VIDEOS  a data set of any known layout, or a folder where videos are searched at any depth
  OUT     OUT/ID/NNN.png, the largest face of frame NNN of video ID, aligned; OUT/faces.csv, the videos with label and
          set, if VIDEOS is a data set
  option  handed to preprocessing/extract_aligned_faces.py (see its --help)

Environment:
  PYTHON      interpreter (default: python)
  WORKERS     videos worked on at a time (default: one a core)
  SCHEDULER   a Dask cluster to work on: its scheduler's address, or "local" to start one here
  DATASET_ARGS  which videos, e.g. "--layout ff++ --compression c23" (default: all)
  LISTS_ARGS  further arguments of generate_face_lists.py, e.g. "--val-share 0.1"

Exit code 3: complete, but some videos failed (OUT/failures lists them).
example: WORKERS=8 bash make_dataset.sh /data/dfdc /data/faces --every 10 --detector mtcnn
USAGE
}

case "${1:-}" in
    -h | --help) usage; exit 0 ;;
esac
if [ $# -lt 2 ] || [[ "$1" == -* ]] || [[ "$2" == -* ]]; then
    usage >&2
    exit 2
fi

# No change of folder: options may name files, too.
here=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
source "$here/signals.sh"
videos=$1
out=$2
shift 2
python=${PYTHON:-python}
read -r -a workers <<<"${WORKERS:+--workers $WORKERS} ${SCHEDULER:+--scheduler $SCHEDULER}"
read -r -a dataset_args <<<"${DATASET_ARGS:-}"
read -r -a lists_args <<<"${LISTS_ARGS:-}"

some_failed=0
step() {
    local code=0
    run "$python" "$here/preprocessing/$1.py" "${@:2}" || code=$?
    case $code in
        0) ;;
        3) some_failed=3 ;; # a few broken videos do not stop a data set
        *) exit "$code" ;;
    esac
}

lists=(generate_face_lists "$out" --metadata "$videos" --if-labeled "${dataset_args[@]}" "${lists_args[@]}")
step "${lists[@]}" --check # sets that cannot be are known from the labels, before hours of work
step extract_aligned_faces "$videos" "$out" --weights-dir "$here/weights" "${workers[@]}" "${dataset_args[@]}" "$@"
step "${lists[@]}"
exit $some_failed
