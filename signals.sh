# shellcheck shell=bash
# Sourced by the shell scripts. They start programs with `run`: a signal to a script ends what it has started, too.

set -euo pipefail

stopped="" # the number of the first signal that came
child=""   # the program that is running
signaled=""

on_signal() { # NAME NUMBER
    stopped=${stopped:-$2}
    signaled=1
    [[ -n $child ]] || return 0
    if [[ $1 == INT ]]; then # Ctrl-C reaches the program as well; given twice, it would cut its ending short
        for _ in {1..20}; do
            kill -0 "$child" 2>/dev/null || return 0
            sleep 0.1
        done
    fi
    kill -s "$1" "$child" 2>/dev/null || true
}
trap 'on_signal TERM 1' HUP
trap 'on_signal INT 2' INT
trap 'on_signal TERM 15' TERM

# run_on PROGRAM [ARGUMENT...]: its exit code. A signal that comes meanwhile is handed on to it, and sets $stopped.
run_on() {
    local code
    [[ -z $stopped ]] || return $((128 + stopped))
    # In the background, because a shell acts on a signal only when the program in the foreground has ended; and such a
    # program would ignore Ctrl-C.
    (
        trap - INT
        exec "$@"
    ) <&0 &
    child=$!
    [[ -z $stopped ]] || kill -s TERM "$child" 2>/dev/null || true # the signal came just before
    while true; do
        signaled=""
        code=0
        wait "$child" || code=$?
        [[ -n $signaled ]] || break # else a signal has ended the waiting, not the program
    done
    child=""
    return "$code"
}

# run PROGRAM [ARGUMENT...]: the same, but after a signal this script ends with the program.
run() {
    local code=0
    run_on "$@" || code=$?
    [[ -z $stopped ]] || exit $((128 + stopped))
    return "$code"
}

# be_one_writer FOLDER [ARGUMENT...]: starts this script again with these arguments, as the one writer of FOLDER, unless
# it is that already. To be called in the script's own folder, with the interpreter in $python.
be_one_writer() {
    lock=$1/.writer.lock
    if [[ ${DEEPFAKE_WRITER:-} == "$$" ]]; then
        trap 'rm -f "$lock"' EXIT
        return
    fi
    DEEPFAKE_WRITER=$$ exec "${python:?}" -c '
import sys
from pathlib import Path

from deepfake.storage.locks import exec_writing

folder, script, *arguments = sys.argv[1:]
try:
    exec_writing(Path(folder), Path(script).resolve(), arguments)
except (ValueError, OSError) as error:
    sys.stderr.write(f"error: {error}\n")
    sys.exit(2)
' "$1" "$(basename "$0")" "${@:2}"
}
