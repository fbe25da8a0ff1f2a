#!/usr/bin/env bash
# Configures and builds Osprey in $BUILD (default: build). Arguments go to CMake;
# the folder is configured again when they change.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
take_lock

version=$(cmake --version 2>/dev/null | awk 'NR == 1 { print $3 }') || true
[ "$(printf '%s\n' 3.25 "$version" | sort -V | head -1)" = 3.25 ] ||
    die "CMake 3.25 or newer is needed; ${version:-none} was found ($(command -v cmake || echo no cmake))" \
        "Install Debian's cmake, or put a newer one first in PATH."

arguments=("-DPython3_EXECUTABLE=$(command -v python3)" "-DOSPREY_FAISS_ROOT=${FAISS_PREFIX:-$DEPS/faiss}")
[ -z "${OSPREY_SYSTEM_FAISS:-}" ] || arguments+=(-DOSPREY_SYSTEM_FAISS=ON)
arguments+=("$@")

cache=$BUILD/CMakeCache.txt
home=$(sed -n 's/^CMAKE_HOME_DIRECTORY:INTERNAL=//p' "$cache" 2>/dev/null || true)
if [ -e "$cache" ] && [ "$home" != "$ROOT" ]; then
    say "    $BUILD was configured for $home: configuring it anew"
    rm -rf "$cache" "$BUILD/CMakeFiles"
fi
wanted=$(printf '%s\n' "${arguments[@]}")
if [ ! -e "$BUILD/build.ninja" ] || [ ! -e "$cache" ] ||
    [ "$(cat "$BUILD/arguments" 2>/dev/null)" != "$wanted" ]; then
    step "Configuring $(basename "$BUILD")/"
    mkdir -p "$BUILD" || die "cannot make the folder $BUILD"
    run_logged configure "configuring" cmake -S "$ROOT" -B "$BUILD" -G Ninja "${arguments[@]}" ||
        die "cannot configure Osprey" "Log: $LOGS/configure.log" \
            "If it was configured with another generator before: rm -r $BUILD"
    printf '%s\n' "$wanted" >"$BUILD/arguments"
fi
run_logged build "building Osprey" ninja -C "$BUILD" -j "$JOBS" ||
    die "Osprey does not compile here ($(system_name), $(c++ -dumpfullversion 2>/dev/null || echo no c++))" \
        "Log: $LOGS/build.log"
