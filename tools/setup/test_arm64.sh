#!/usr/bin/env bash
# Builds core and its unit tests for aarch64 and runs them through qemu. Arguments
# go to ctest (-R NAME). The libraries are fetched by apt into .deps/arm64, with
# package lists of their own: this system's architectures and packages stay as
# they are.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

PLACE=$DEPS/arm64
SYSROOT=$PLACE/root
LIBRARIES="libc6-dev libgomp1 libjansson-dev libutf8proc-dev libxxhash-dev libpng-dev
    libjpeg62-turbo-dev libexif-dev libexempi-dev libseccomp-dev libcmocka-dev
    libwebp-dev libgif-dev libtiff-dev liblcms2-dev" # formats whose libraries need no others
export BUILD=$ROOT/build-arm64

# apt for aarch64, as if nothing were installed.
foreign_apt()
{
    apt-get -q -y -o APT::Architecture=arm64 -o APT::Architectures=arm64 \
        -o Dir::State="$PLACE/state" -o Dir::State::status=/dev/null -o Dir::Cache="$PLACE/cache" \
        -o Dir::Etc::sourcelist="$PLACE/sources.list" -o Dir::Etc::sourceparts=/dev/null \
        -o APT::Sandbox::User=root -o APT::Install-Recommends=false "$@"
}

unpack()
{
    local package folder
    rm -rf "$SYSROOT" # links first: older packages still have /lib, beside others' /usr/lib
    for folder in bin sbin lib; do
        mkdir -p "$SYSROOT/usr/$folder" && ln -s "usr/$folder" "$SYSROOT/$folder"
    done
    for package in "$PLACE"/cache/archives/*.deb; do
        dpkg-deb --fsys-tarfile "$package" |
            tar -x -C "$SYSROOT" --keep-directory-symlink --exclude=./usr/share/{doc,man,locale} --exclude=./dev ||
            return 1
    done
    echo "$LIBRARIES" >"$SYSROOT/complete"
}

make_sysroot()
{
    take_lock
    [ "$(cat "$SYSROOT/complete" 2>/dev/null)" != "$LIBRARIES" ] || return 0
    command -v apt-get >/dev/null || die "the libraries for aarch64 are fetched through apt, which is not here"
    step "Fetching libraries for aarch64 into .deps/arm64/"
    need_space 400 "$PLACE" "the libraries for aarch64"
    mkdir -p "$PLACE/state/lists/partial" "$PLACE/cache/archives/partial"
    apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT) $(ORIGIN)' 'Created-By: Packages' |
        sort -u | sed -n 's/^\(.*\) Debian$/deb \1/p' >"$PLACE/sources.list"
    run_logged arm64-lists "reading package lists" foreign_apt update ||
        die "cannot read the package lists for aarch64" "Log: $LOGS/arm64-lists.log"
    # shellcheck disable=SC2086 # a list of words
    run_logged arm64-fetch "downloading" foreign_apt install --download-only $LIBRARIES ||
        die "cannot fetch the libraries for aarch64" "Log: $LOGS/arm64-fetch.log"
    run_logged arm64-unpack "unpacking" unpack ||
        die "cannot unpack the libraries for aarch64" "Log: $LOGS/arm64-unpack.log"
    rm -rf "$PLACE/cache" "$PLACE/state"
}

"$ROOT/tools/setup/packages.sh" arm64
(make_sysroot)
"$ROOT/tools/setup/build.sh" -DCMAKE_TOOLCHAIN_FILE="$ROOT/cmake/toolchain-aarch64.cmake" \
    -DOSPREY_SYSROOT="$SYSROOT" -DOSPREY_CORE_ONLY=ON

step "Tests in $(basename "$BUILD")/"
rm -f "$BUILD/junit.xml"
ctest --test-dir "$BUILD" -j "$JOBS" --output-on-failure --output-junit "$BUILD/junit.xml" "$@"
