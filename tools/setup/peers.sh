#!/usr/bin/env bash
# Runs benchmarks/peers/bench_*.py, which measure Osprey beside others, in a virtual
# environment of their own (.deps/peers), made anew when requirements.txt changes.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

REQUIREMENTS=$ROOT/benchmarks/peers/requirements.txt
VENV=$DEPS/peers
shopt -s nullglob

"$ROOT/tools/setup/packages.sh" peers
take_lock
# Debian's Python before one of the user's: the versions pinned are tried with it.
python=/usr/bin/python3
[ -x "$python" ] || python=$(command -v python3) || die "there is no python3"
fingerprint=$("$python" --version && sha256sum <"$REQUIREMENTS")
if [ "$(cat "$VENV/fingerprint" 2>/dev/null)" != "$fingerprint" ]; then
    step "Making a virtual environment with PyTorch, ONNX Runtime and others (once; some GB)"
    need_space 9000 "$DEPS" "the peers' virtual environment"
    rm -rf "$VENV"
    run_logged peers "making $VENV" "$python" -m venv "$VENV" ||
        die "cannot make a virtual environment" "Install python3-venv. Log: $LOGS/peers.log"
    run_logged peers "installing" "$VENV/bin/pip" install --no-cache-dir -r "$REQUIREMENTS" ||
        die "pip cannot install the peers" "Is there a network? Log: $LOGS/peers.log"
    printf '%s\n' "$fingerprint" >"$VENV/fingerprint"
fi

step "Building the benchmarks"
run_logged bench-build "compiling" ninja -C "$BUILD" -j "$JOBS" benchmarks ||
    die "the benchmarks do not compile" "Log: $LOGS/bench-build.log"
failed=0
for script in "$ROOT"/benchmarks/peers/bench_*.py; do
    step "$(basename "$script" .py)"
    OSPREY_BUILD=$BUILD OSPREY_SOURCE=$ROOT "$VENV/bin/python" "$script" ||
        { say "    $(basename "$script") failed"; failed=1; }
done
exit $failed
