#!/usr/bin/env bash
# Replays the fuzz corpus and fuzzes each target for a while, with Clang's libFuzzer
# under AddressSanitizer and UBSan.
#
#   run.sh [--time SECONDS] [--merge] [TARGET...]
#
# --time: for each target (20). --merge: afterwards, what reaches new code is added
# to tests/fuzz/corpus. Inputs that break something are left in build-fuzz/found/;
# such a one goes into the corpus together with what mends it.
. "$(dirname "${BASH_SOURCE[0]}")/../../tools/setup/common.sh"

SOURCE=$ROOT/tests/fuzz
LARGEST=8192 # bytes of an input
export BUILD=$ROOT/build-fuzz

seconds=20 merge=0 targets=()
while [ $# -gt 0 ]; do
    case $1 in
        --time) seconds=${2:?--time takes a number of seconds} && shift ;;
        --merge) merge=1 ;;
        -*) die "unknown option $1" "usage: run.sh [--time SECONDS] [--merge] [TARGET...]" ;;
        *) targets+=("$1") ;;
    esac
    shift
done
[ ${#targets[@]} -gt 0 ] || targets=($(cd "$SOURCE" && ls fuzz_*.c | sed 's/^fuzz_//; s/\.c$//'))

"$ROOT/tools/setup/packages.sh" fuzz
version=$(clang -dumpversion) version=${version%%.*}
[ -n "$(ls "$(clang -print-resource-dir)"/lib/*/libclang_rt.fuzzer* 2>/dev/null)" ] ||
    (take_lock && install_packages "libFuzzer" "libclang-rt-$version-dev")
"$ROOT/tools/setup/build.sh" -DCMAKE_C_COMPILER=clang -DOSPREY_CORE_ONLY=ON -DOSPREY_FUZZ=ON \
    -DOSPREY_SANITIZE=address,undefined

# Folders of model files are written for each input: memory is the place for them.
place=/dev/shm
[ -w "$place" ] || place=${TMPDIR:-/tmp}
export TMPDIR
TMPDIR=$(mktemp -d "$place/osprey-fuzz-XXXXXX")
trap 'rm -rf "$TMPDIR"' EXIT
export ASAN_OPTIONS=${ASAN_OPTIONS:-allocator_may_return_null=1:detect_stack_use_after_return=1}
export LSAN_OPTIONS=${LSAN_OPTIONS:-suppressions=$SOURCE/leaks.supp:print_suppressions=0}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}

# A header that asks for more memory than this has to be refused before.
limits=(-timeout=10 -rss_limit_mb=2048 -malloc_limit_mb=1024)
status=0
mkdir -p "$BUILD/found"
for target in "${targets[@]}"; do
    program=$BUILD/tests/fuzz_$target corpus=$SOURCE/corpus/$target grown=$BUILD/corpus/$target
    [ -x "$program" ] && [ -d "$corpus" ] || die "no such fuzz target: $target"
    mkdir -p "$grown"
    arguments=("${limits[@]}" -max_len=$LARGEST "-artifact_prefix=$BUILD/found/$target-")
    [ ! -e "$SOURCE/dict/$target.dict" ] || arguments+=("-dict=$SOURCE/dict/$target.dict")
    run_logged "fuzz-$target" "fuzzing $target" nice "$program" "${arguments[@]}" \
        -max_total_time="$seconds" -print_final_stats=1 "$grown" "$corpus" || {
        status=1
        say "    the input: $(ls -t "$BUILD/found/$target-"* 2>/dev/null | head -1)"
        continue
    }
    say "    $target: $(sed -n 's/^stat::number_of_executed_units: *//p' "$LOGS/fuzz-$target.log") inputs"
    # One input for each branch: counters would keep ten times as many.
    [ $merge = 0 ] || run_logged "fuzz-merge-$target" "merging $target" \
        "$program" "${limits[@]}" -merge=1 -use_counters=0 "$corpus" "$grown" || status=1
done
exit $status
