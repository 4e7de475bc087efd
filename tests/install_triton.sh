#!/usr/bin/env bash
# Puts a minimal Triton server (nvidia-pytriton, 55 MB) into .cache/triton for the tests. It pins numpy<2, so it gets a
# folder of its own, without what it depends on; nothing imports it.
set -euo pipefail

version=0.7.0
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source ./signals.sh
folder=.cache/triton
if [[ $(uname -sm) != "Linux x86_64" || -d $folder/nvidia_pytriton-$version.dist-info ]]; then
    exit 0
fi
echo "== Triton for the tests: $folder =="
rm -rf "$folder.partial"
if ! run "${PYTHON:-python3}" -m pip install --disable-pip-version-check --no-input --progress-bar off --quiet --retries 1 \
    --no-deps --target "$folder.partial" "nvidia-pytriton==$version"; then
    rm -rf "$folder.partial"
    echo "Triton could not be installed; its tests are left out" >&2
    exit 1
fi
rm -rf "$folder"
mv "$folder.partial" "$folder" # last: an installation that was killed is made again
