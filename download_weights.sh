#!/usr/bin/env bash
# Fetches first place's seven published checkpoints. Run again, it continues, and checks what is there.
set -euo pipefail

usage() {
    cat <<'USAGE'
usage: bash download_weights.sh [WEIGHTS_DIR] [NAME...]

Downloads the published checkpoints (default: all seven) into WEIGHTS_DIR (default: weights). Each must load strictly;
its SHA-256 is recorded in WEIGHTS_DIR/SHA256SUMS at the first download and compared from then on.

Environment:
  PYTHON       interpreter (default: python)
  WEIGHTS_URL  where to fetch from instead of the release page
  DOWNLOADER   curl or wget (default: what is there)

example: bash download_weights.sh weights
USAGE
}

case "${1:-}" in
    -h | --help) usage; exit 0 ;;
    -*) usage >&2; exit 2 ;;
esac
folder=$(realpath -m -- "${1:-weights}")
shift || true
cd "$(dirname "$(realpath "${BASH_SOURCE[0]}")")"
source ./signals.sh
python=${PYTHON:-python}
downloader=${DOWNLOADER:-$(command -v curl || command -v wget || true)}

fetch() { # URL FILE: continues what is there of FILE
    case "${downloader##*/}" in
        curl) run curl --fail --location --retry 3 --continue-at - --output "$2" "$1" ;;
        wget) run wget --tries 4 --continue --output-document "$2" "$1" ;;
        *) echo "error: neither curl nor wget is installed; install one" >&2; return 1 ;;
    esac
}

weights() { # FUNCTION: prints the lines that deepfake.checkpoints.downloads gives
    run "$python" - "$@" <<'PYTHON'
import sys
from pathlib import Path
from deepfake.checkpoints import downloads
from deepfake.published import NAMES

function, folder, *names = sys.argv[1:]
try:
    for line in getattr(downloads, function)(Path(folder), names or NAMES):
        print(line, flush=True)
except (ValueError, OSError) as error:
    sys.exit(f"error: {error}")
PYTHON
}

be_one_writer "$folder" "$folder" "$@"
base=${WEIGHTS_URL:-$("$python" -c 'from deepfake.published import BASE_URL; print(BASE_URL)')}
missing=$(weights missing "$folder" "$@")
for name in $missing; do
    if ! fetch "$base/$name" "$folder/$name.part"; then
        echo "error: $base/$name cannot be downloaded; run the same command again to continue" >&2
        exit 1
    fi
    mv "$folder/$name.part" "$folder/$name.unchecked"
done
weights verify "$folder" "$@"
