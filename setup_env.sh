# shellcheck shell=bash
# Sourced by demo.sh and test.sh. `use_environment [EXTRA]` makes the environment in .venv, in the versions of
# constraints.txt, where it is missing or its requirements have changed, installs what EXTRA of pyproject.toml needs, and
# exports PYTHON, its interpreter. Set PYTHON beforehand to use an environment of your own instead.

set -euo pipefail

project_root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=signals.sh
declare -F run >/dev/null || source "$project_root/signals.sh"

supported_python() {
    "$1" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null
}

find_python() {
    local name
    for name in python3 python python3.13 python3.12 python3.11 python3.10; do
        if command -v "$name" >/dev/null && supported_python "$name"; then
            command -v "$name"
            return
        fi
    done
    echo "error: no Python 3.10 to 3.13 found; install one (Debian and Ubuntu: apt install python3 python3-venv)" >&2
    return 1
}

# What the environment was made from: it is made anew when this changes, and when the checkout has moved.
environment_facts() {
    echo "$project_root"
    cat "$project_root"/{requirements.txt,constraints.txt,pyproject.toml}
}

# made_from STAMP: whether what the stamp is for was installed from the facts of today.
made_from() {
    [[ -x $project_root/.venv/bin/python ]] && cmp -s "$1" <(environment_facts)
}

# make_environment [EXTRA]: what is there stays and is added to, unless it was made from other facts.
make_environment() {
    local venv=$project_root/.venv base log stamp
    local core=$venv/made-from
    local wanted=$core${1:+-$1}
    if made_from "$wanted"; then
        return
    fi
    if made_from "$core"; then
        echo "== Environment: .venv gets what the extra \"$1\" needs, in the versions of constraints.txt =="
    else
        base=$(find_python) || return 1
        echo "== Environment: .venv ($("$base" --version); a few minutes, about 7 GB), in the versions of constraints.txt =="
        if ! run "$base" -m venv --clear "$venv"; then
            echo "error: $base cannot make an environment (Debian and Ubuntu: apt install python3-venv)" >&2
            return 1
        fi
    fi
    log=$venv/install.log
    rm -f "$core" "$wanted" # written last: an installation that was killed is made again
    if ! run "$venv/bin/python" -m pip install --disable-pip-version-check --no-input --progress-bar off \
        --constraint "$project_root/constraints.txt" --editable "$project_root${1:+[$1]}" >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        echo "error: the installation failed; all of pip's words: $log" >&2
        return 1
    fi
    for stamp in "$core" "$wanted"; do
        environment_facts >"$stamp"
    done
}

use_environment() {
    if [[ -z ${PYTHON:-} ]]; then
        make_environment "$@" || exit 1
        PYTHON=$project_root/.venv/bin/python
    elif ! supported_python "$PYTHON"; then
        echo "error: PYTHON=$PYTHON is not Python 3.10 to 3.13" >&2
        exit 1
    fi
    export PYTHON
}
