#!/usr/bin/env bash
# Builds FAISS with its C API into .deps/faiss, once for this processor and compiler.
# The source is the folder faiss/ of the package that faiss/Cargo.toml names, which
# cargo downloads; its checksum is pinned below. FAISS_SOURCE=DIR takes a tree at hand.
#
# What was built is marked with a fingerprint of the release, the flags, and what
# the compiler makes of -march: a tree that was copied to another machine, or whose
# compiler changed, builds it again instead of dying of an illegal instruction.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

RELEASE=1.12
CHECKSUM=c4a8fa67f7070bb81f41dc71c98813b3e40a66bedab12d6c2ac2af50f0837a7e
CXX=${CXX:-c++}
MARCH=${OSPREY_MARCH:-native}
PREFIX=${FAISS_PREFIX:-$DEPS/faiss}
FLAGS=(-DCMAKE_BUILD_TYPE=Release -DFAISS_ENABLE_GPU=OFF -DFAISS_ENABLE_PYTHON=OFF
    -DFAISS_ENABLE_C_API=ON -DFAISS_ENABLE_EXTRAS=OFF -DBUILD_TESTING=OFF
    -DFAISS_OPT_LEVEL=generic -DBUILD_SHARED_LIBS=OFF -DCMAKE_POSITION_INDEPENDENT_CODE=ON
    "-DCMAKE_CXX_FLAGS=-march=$MARCH" -DBLA_VENDOR=OpenBLAS)

[ -z "${OSPREY_SYSTEM_FAISS:-}" ] || exit 0
take_lock
command -v "$CXX" >/dev/null || die "there is no C++ compiler ($CXX)" "Install g++, or set CXX."

target=$("$CXX" "-march=$MARCH" -dM -E -x c++ /dev/null) ||
    die "$CXX does not know -march=$MARCH" "Set OSPREY_MARCH to one that it knows."
fingerprint=$(printf '%s\n' "$RELEASE" "$CHECKSUM" "${FLAGS[@]}" "$target" | sha256sum | cut -d' ' -f1)

if [ -s "$PREFIX/lib/libfaiss.a" ] && [ -s "$PREFIX/lib/libfaiss_c.a" ] &&
    [ "$(cat "$PREFIX/fingerprint" 2>/dev/null)" = "$fingerprint" ]; then
    exit 0
fi

cargo_is_new_enough()
{
    local version
    version=$("$1" --version 2>/dev/null | awk '{ print $2 }') && [ -n "$version" ] &&
        [ "$(printf '%s\n' 1.70 "$version" | sort -V | head -1)" = 1.70 ]
}

find_cargo()
{
    local candidate
    for candidate in "${CARGO:-cargo}" "$HOME/.cargo/bin/cargo" /usr/bin/cargo; do
        if cargo_is_new_enough "$candidate"; then
            printf '%s\n' "$candidate"
            return 0
        fi
    done
    return 1
}

# Downloads the source into .deps/faiss-source; prints nothing, leaves $source.
fetch_source()
{
    local work=$DEPS/faiss-source cargo package candidate
    source=$work/vendor/faiss-sys/faiss
    [ "$(cat "$work/complete" 2>/dev/null)" != "$CHECKSUM" ] || [ ! -e "$source/CMakeLists.txt" ] ||
        return 0
    if ! cargo=$(find_cargo); then
        package=cargo
        # Debian 12's own cargo is too old; it has a newer one under another name.
        candidate=$(apt-cache policy cargo 2>/dev/null | sed -n 's/^ *Candidate: //p' || true)
        dpkg --compare-versions "${candidate:-0}" ge 1.70 2>/dev/null || package=cargo-web
        [ -n "${OSPREY_NO_APT:-}" ] || install_packages "cargo, which downloads FAISS" "$package"
        hash -r
        cargo=$(find_cargo) || die "FAISS's source comes through cargo 1.70 or newer; none was found" \
            "Install one, or set FAISS_SOURCE to a source tree of FAISS $RELEASE."
    fi
    step "Downloading FAISS $RELEASE"
    rm -rf "$work"
    mkdir -p "$work"
    cp "$ROOT/tools/setup/faiss/Cargo.toml" "$work/"
    : >"$work/lib.rs"
    (cd "$work" && run_logged faiss-download "finding the package" "$cargo" generate-lockfile) ||
        die "cargo cannot find the package faiss-sys 0.7.0, which carries FAISS's source" \
            "Is there a network? Without one, set FAISS_SOURCE to a source tree of FAISS $RELEASE."
    grep -qx "checksum = \"$CHECKSUM\"" "$work/Cargo.lock" ||
        die "wrong checksum of faiss-sys 0.7.0; nothing was built" "expected SHA-256 $CHECKSUM" \
            "found            $(sed -n 's/^checksum = "\(.*\)"/\1/p' "$work/Cargo.lock" | tr '\n' ' ')"
    (cd "$work" && run_logged faiss-download "downloading" "$cargo" vendor --locked) ||
        die "cargo cannot download faiss-sys 0.7.0" \
            "Is there a network? Without one, set FAISS_SOURCE to a source tree of FAISS $RELEASE."
    [ -e "$source/CMakeLists.txt" ] || die "the package faiss-sys 0.7.0 has no folder faiss/"
    printf '%s\n' "$CHECKSUM" >"$work/complete"
}

need_space 600 "$DEPS" "building FAISS"
if [ -n "${FAISS_SOURCE:-}" ]; then
    source=$FAISS_SOURCE
    [ -e "$source/c_api/CMakeLists.txt" ] ||
        die "FAISS_SOURCE=$source is not a source tree of FAISS: it has no c_api/CMakeLists.txt"
else
    fetch_source
fi
found=$(sed -n 's/^#define FAISS_VERSION_\(MAJOR\|MINOR\) //p' "$source/faiss/Index.h" | paste -sd.)
[ "$found" = "$RELEASE" ] || die "$source holds FAISS $found; Osprey is made for $RELEASE"

command -v cmake >/dev/null && command -v ninja >/dev/null ||
    die "cmake or ninja is missing" "Install cmake (3.25 or newer) and ninja-build."
step "Building FAISS $RELEASE for this machine's processor (once; minutes)"
work=$DEPS/faiss-build
rm -rf "$work" "$PREFIX.new"
run_logged faiss-configure "configuring" cmake -S "$source" -B "$work" -G Ninja \
    "-DCMAKE_CXX_COMPILER=$CXX" "${FLAGS[@]}" ||
    die "cannot configure FAISS" "Log: $LOGS/faiss-configure.log" \
        "Are cmake (3.24 or newer) and libopenblas-dev installed?"
run_logged faiss-build "compiling" cmake --build "$work" --target faiss_c -j "$JOBS" ||
    die "cannot build FAISS" "Log: $LOGS/faiss-build.log" \
        "Killed compilers mean too little memory: try JOBS=1 (about 1.5 GB each)."
run_logged faiss-install "installing" cmake --install "$work" --prefix "$PREFIX.new" ||
    die "cannot install FAISS into $PREFIX.new" "Log: $LOGS/faiss-install.log"
cp "$source/LICENSE" "$PREFIX.new/"
printf '%s\n' "$fingerprint" >"$PREFIX.new/fingerprint"
rm -rf "$PREFIX"
mv "$PREFIX.new" "$PREFIX"
rm -rf "$work"
