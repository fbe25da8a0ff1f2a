#!/usr/bin/env bash
# Makes a Debian package of what was built, into $BUILD. FAISS was compiled for this
# machine's processor; for others, start with OSPREY_MARCH=x86-64-v3 and another
# FAISS_PREFIX and BUILD.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

step "Packing"
(cd "$BUILD" && run_logged deb "packing" cpack -G DEB --config CPackConfig.cmake -B "$BUILD/deb") ||
    die "cannot make the package" "Log: $LOGS/deb.log"
find "$BUILD/deb" -maxdepth 1 -name '*.deb' -printf '%p (%k kB)\n'
