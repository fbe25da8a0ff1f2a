#!/usr/bin/env bash
# Runs the tests of each build folder named (default: $BUILD) and prints, as the last
# line, how many passed and failed in all. Fails if one failed or none ran.
# Words after -- go to ctest.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

folders=() ctest_arguments=()
while [ $# -gt 0 ]; do
    [ "$1" != -- ] || { shift && ctest_arguments=("$@") && break; }
    folders+=("$1")
    shift
done
[ ${#folders[@]} -gt 0 ] || folders=("$BUILD")

reports=()
for folder in "${folders[@]}"; do
    case $folder in /*) ;; *) folder=$ROOT/$folder ;; esac
    report=$folder/junit.xml
    rm -f "$report"
    ctest --test-dir "$folder" -j "$JOBS" --output-on-failure --output-junit "$report" \
        "${ctest_arguments[@]}" || true # the report below says what failed
    reports+=("$report")
done
exec python3 "$ROOT/tools/setup/count_tests.py" "${reports[@]}"
