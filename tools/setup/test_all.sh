#!/usr/bin/env bash
# The slow tier: the quick tests, clients that others wrote (tests/clients), more of
# what is thrown at the daemon, and load; all of it again under AddressSanitizer and
# UBSan; what has threads, the daemon under load included, under ThreadSanitizer;
# core's tests for aarch64 through qemu; and some fuzzing.
# The last line counts all of them together. Arguments go to ctest (-R NAME).
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# OpenMP's runtime is not instrumented, and TSan sees races in its barriers: only
# tests whose threads are our own (pthreads) are told apart by it.
TSAN_TESTS=${TSAN_TESTS:-^test_(parallel|queue|pipeline|ingest|progress|decoder|searchd_state)|^slow_searchd_load}

plain=$BUILD asan=$ROOT/build-asan tsan=$ROOT/build-tsan
BUILD=$asan "$ROOT/tools/setup/build.sh" -DOSPREY_SANITIZE=address,undefined
export ASAN_OPTIONS=${ASAN_OPTIONS:-abort_on_error=1:detect_stack_use_after_return=1}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}
status=0
reports=()

run()
{
    local folder=$1
    shift
    step "Tests in $(basename "$folder")/"
    rm -f "$folder/junit.xml"
    ctest --test-dir "$folder" -C slow -j "$JOBS" --output-on-failure --output-junit "$folder/junit.xml" "$@" ||
        status=1
    reports+=("$folder/junit.xml")
}

"$ROOT/tools/setup/axe.sh"
"$ROOT/tools/setup/clients.sh"
for folder in "$plain" "$asan"; do run "$folder" "$@"; done

if [ -n "$(ctest --test-dir "$plain" -N -R "$TSAN_TESTS" | grep 'Test *#' || true)" ]; then
    BUILD=$tsan "$ROOT/tools/setup/build.sh" -DOSPREY_SANITIZE=thread
    OMP_NUM_THREADS=1 run "$tsan" -R "$TSAN_TESTS"
fi

if [ "$(uname -m)" = x86_64 ]; then
    step "The same for aarch64: core"
    "$ROOT/tools/setup/test_arm64.sh" "$@" || status=1
    reports+=("$ROOT/build-arm64/junit.xml")
fi

step "Fuzzing"
"$ROOT/tests/fuzz/run.sh" || status=1
python3 "$ROOT/tools/setup/count_tests.py" "${reports[@]}" || status=1
exit $status
