#!/usr/bin/env bash
# TEST_DIR -> CSV: scores every video with the published ensemble of seven EfficientNet-B7.
set -euo pipefail

usage() {
    cat <<'USAGE'
usage: bash predict_submission.sh TEST_DIR CSV [ARGUMENT...]

Further arguments go to predict_folder.py, e.g. --details details.json --precision bf16.

Environment:
  PYTHON       interpreter (default: python)
  WEIGHTS_DIR  folder of checkpoints (default: weights)
  MODELS       names of checkpoints in it (default: the seven that download_weights.sh fetches)

Exit code 3: complete, but some videos have no score.
example: bash predict_submission.sh /data/test_videos submission.csv
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
home=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
python=${PYTHON:-python}
weights_dir=${WEIGHTS_DIR:-$home/weights}
published=$(cd "$home" && "$python" -c 'from deepfake.weights import NAMES; print(*NAMES)')
read -r -a models <<<"${MODELS:-$published}"

missing=()
for name in "${models[@]}"; do
    [ -f "$weights_dir/$name" ] || missing+=("$name")
done
if [ ${#missing[@]} -gt 0 ]; then
    echo "error: checkpoints are missing in $weights_dir:" >&2
    printf '  %s\n' "${missing[@]}" >&2
    echo "fetch the published ones with: bash download_weights.sh $weights_dir" >&2
    exit 2
fi

exec "$python" "$home/predict_folder.py" --test-dir "$test_dir" --output "$csv" \
    --weights-dir "$weights_dir" --models "${models[@]}" "$@"
