#!/usr/bin/env bash
# Builds and runs every benchmark, one after another: the C programs bench_*.c, then
# the scripts benchmarks/bench_*.py, which drive the programs.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

shopt -s nullglob
step "Building the benchmarks"
run_logged bench-build "compiling" ninja -C "$BUILD" -j "$JOBS" benchmarks ||
    die "the benchmarks do not compile" "Log: $LOGS/bench-build.log"
scratch=$BUILD/bench # bench_library leaves what it made where it was run
rm -rf "$scratch" && mkdir "$scratch"
trap 'rm -rf "$scratch"' EXIT
failed=0
for bench in "$ROOT"/benchmarks/bench_*.c; do
    name=$(basename "$bench" .c)
    [ "$name" != bench_clip ] || continue # wants a model, which peers/bench_clip.py makes
    step "$name"
    (cd "$scratch" && "$BUILD/benchmarks/$name") || { say "    $name failed"; failed=1; }
done
for bench in "$ROOT"/benchmarks/bench_*.py; do
    step "$(basename "$bench" .py)"
    OSPREY_BUILD=$BUILD OSPREY_SOURCE=$ROOT python3 "$bench" ||
        { say "    $(basename "$bench") failed"; failed=1; }
done
exit $failed
