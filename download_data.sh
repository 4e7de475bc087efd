#!/usr/bin/env bash
# DFDC's training parts from Kaggle into DATA_ROOT, checked; if wanted, preprocessed and removed one after another.
set -euo pipefail

usage() {
    cat <<'USAGE'
usage: bash download_data.sh DATA_ROOT [PART...]

Downloads DFDC's training parts (0 to 49; default: all) with Kaggle's own client, and unpacks each into
DATA_ROOT/dfdc_train_part_N once it is whole: its size as Kaggle lists it, the archive's checksums, and the videos that
metadata.json names. Run again, it goes on where it was. Needs `pip install kaggle`, an API token, and the
competition's rules accepted on its page; all parts take 470 GB, one at a time about 20 (archive and videos).

Environment:
  PREPROCESS   1: after each part, run preprocess_data.sh (its variables hold) and remove the part's videos that are
               done; those that failed stay
  COMPETITION  default: deepfake-detection-challenge
  PART_FILE    a part's file at Kaggle, for printf (default: dfdc_train_part_%02d.zip)
  KAGGLE       the client (default: kaggle)
  PYTHON       interpreter (default: python)

Exit code 3: complete, but some videos could not be preprocessed (DATA_ROOT/failures lists them).
example: PREPROCESS=1 CROPS_ARGS="--format jpg" bash download_data.sh /data/dfdc 0 1 2
USAGE
}

case "${1:-}" in
    -h | --help) usage; exit 0 ;;
esac
if [ $# -lt 1 ] || [[ "$1" == -* ]]; then
    usage >&2
    exit 2
fi
data_root=$(realpath -m -- "$1")
shift
cd "$(dirname "$(realpath "${BASH_SOURCE[0]}")")"
source ./signals.sh
python=${PYTHON:-python}
kaggle=${KAGGLE:-kaggle}
competition=${COMPETITION:-deepfake-detection-challenge}
part_file=${PART_FILE:-dfdc_train_part_%02d.zip}
if [ $# -eq 0 ]; then
    mapfile -t numbers < <(seq 0 49)
else
    numbers=("$@")
fi
for number in "${numbers[@]}"; do
    if ! [[ "$number" =~ ^(0|[1-9][0-9]?)$ ]]; then
        echo "error: part '$number': expected a number such as 0 or 49" >&2
        exit 2
    fi
done

parts() { # FUNCTION ARGUMENT...: prints what deepfake.datasets.dfdc_parts tells
    run "$python" - "$@" <<'PYTHON'
import sys
from pathlib import Path
from deepfake.datasets import dfdc_parts
from deepfake.storage.locks import writing_folder
from deepfake.datasets.data_root import part_folder
from deepfake.storage.disk_full import OutOfSpace

function, root, number, *rest = sys.argv[1:]
root, number = Path(root), int(number)
folder = part_folder(root, number)
try:
    if function == "state":
        there = (folder / "metadata.json").is_file()
        print("missing" if not there else "videos" if dfdc_parts.has_videos(root, number) else "removed")
    elif function == "unpack":
        archive, listing = rest
        size = dfdc_parts.listed_size(Path(listing).read_text(encoding="utf-8"), Path(archive).name)
        size_text = "size not listed" if size is None else f"{size} bytes as listed"
        print(f"{folder.name}: {dfdc_parts.unpack_part(Path(archive), folder, size)} videos, {size_text}")
    else:
        with writing_folder(root):
            removed, left = dfdc_parts.remove_done_videos(root, number)
        print(f"{folder.name}: {removed} videos removed, {left} left that are not done")
except OutOfSpace as error:
    sys.exit(f"error: {error}; free some space and run the same command again to continue")
except (ValueError, OSError) as error:
    sys.exit(f"error: {error}")
PYTHON
}

if ! command -v "$kaggle" >/dev/null; then
    echo "error: $kaggle is not installed; python -m pip install kaggle" >&2
    exit 2
fi
downloads=$data_root/downloads
be_one_writer "$downloads" "$data_root" "${numbers[@]}"
some_failed=0
for number in "${numbers[@]}"; do
    state=$(parts state "$data_root" "$number")
    if [ "$state" = missing ]; then
        # shellcheck disable=SC2059
        name=$(printf "$part_file" "$number")
        mkdir -p "$downloads"
        # Asked for before each part: a listing that fails ends the run before the download does.
        if ! run "$kaggle" competitions files -c "$competition" --csv --page-size 200 >"$downloads/files.csv" ||
            ! run "$kaggle" competitions download -c "$competition" -f "$name" -p "$downloads"; then
            echo "error: $name cannot be downloaded; run the same command again to continue" >&2
            exit 1
        fi
        parts unpack "$data_root" "$number" "$downloads/$name" "$downloads/files.csv"
        rm -f "$downloads/$name"
    else
        echo "dfdc_train_part_$number: there already"
    fi
    if [ "${PREPROCESS:-0}" = 1 ] && [ "$state" != removed ]; then
        code=0
        run bash preprocess_data.sh "$data_root" || code=$?
        case $code in
            0) ;;
            3) some_failed=3 ;; # their videos stay
            *) exit "$code" ;;
        esac
        parts remove "$data_root" "$number"
    fi
done
trap - EXIT
rm -f "$downloads/files.csv" "${lock:?}"
if [ -d "$downloads" ]; then
    rmdir --ignore-fail-on-non-empty "$downloads"
fi
exit $some_failed
