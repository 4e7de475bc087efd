#!/usr/bin/env bash
# Sets up the environment if need be, then style, types and the whole test suite. Arguments go to pytest.
set -euo pipefail

if [[ "${1:-}" == "-h" || "${1:-}" == "--help" ]]; then
    cat <<'USAGE'
usage: bash test.sh [pytest option ...]

environment (default):
  PYTHON (.venv, made if need be)  interpreter with the project and its "dev" extra installed
  TEST_WORKERS (one a core, at most 8)  test files run at a time
  DEEPFAKE_REQUIRE_SHARED (0)      1: missing reference data in ../shared is a failure, not a skip
  DEEPFAKE_REQUIRE_TRITON (0)      1: the same for the Triton server, which is installed into .cache/triton

examples:
  bash test.sh tests/preprocessing -k resume
  bash test.sh -m "not slow"
USAGE
    exit 0
fi

cd "$(dirname "${BASH_SOURCE[0]}")"
source ./signals.sh
source ./setup_env.sh
use_environment dev

# Without it, the tests that need it are left out, or fail if DEEPFAKE_REQUIRE_TRITON=1.
run bash tests/install_triton.sh || true

failed=()
check() {
    echo "== $1 =="
    run "$PYTHON" -m "${@:2}" || failed+=("$1")
}

check Style ruff check
check Format ruff format --check
check Types mypy

cores=$(nproc)
workers=${TEST_WORKERS:-$((cores < 8 ? cores : 8))}
# One thread a worker, so that they do not fight; one file in one worker, so that its fixtures are made once.
export OMP_NUM_THREADS=1
check Tests pytest -n "$workers" --dist loadfile "$@"

if [[ ${#failed[@]} -gt 0 ]]; then
    echo "failed: ${failed[*]}" >&2
    exit 1
fi
