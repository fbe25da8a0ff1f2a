#!/usr/bin/env bash
# Indexes pictures that Debian ships, asks five questions and for one likeness, and
# says what to do with one's own. The library is $BUILD/demo-library.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

STAMPS=/usr/share/tuxpaint/stamps
WALLPAPERS=/usr/share/backgrounds
LIBRARY=$BUILD/demo-library
NEAR=$BUILD
[ "$BUILD" != "$ROOT/build" ] || NEAR=build
osprey() { "$BUILD/osprey" "$@" --library "$LIBRARY"; }

folders=()
for folder in "$STAMPS"/*/; do
    folder=${folder%/}
    # symbols/ holds letters, flags and shapes: no pictures of things.
    [ "$folder" = "$STAMPS/symbols" ] || [ ! -d "$folder" ] || folders+=("$folder")
done
[ ${#folders[@]} -gt 0 ] || die "there are no pictures in $STAMPS" \
    "Install Debian's tuxpaint-stamps-default, or try pictures of your own:" \
    "  $NEAR/osprey index DIR"
[ ! -d "$WALLPAPERS" ] || folders+=("$WALLPAPERS")

step "Indexing Debian's stamps and wallpapers into $NEAR/demo-library"
osprey index --model osprey-small "${folders[@]}" || die "indexing failed"

# show LABEL COMMAND...: the command as one would type it, then what it prints.
show()
{
    local status=0
    printf '\n%s$ %s/osprey' "$BOLD" "$NEAR"
    printf ' %s' "$@"
    printf '%s\n' "$PLAIN"
    osprey "$@" || status=$?
    [ $status -eq 0 ] || die "osprey $1 ended with status $status"
} 2>&1

for query in "a musical instrument" "fruit" "an insect" "a mountain landscape" "a bus"; do
    # shellcheck disable=SC2086 # words, as they would be typed
    show search -k 3 $query
done
example=$(find "$STAMPS/animals" -name '*.jpg' -o -name '*.png' 2>/dev/null | LC_ALL=C sort |
    awk '/birds/ && !found++') # reads to the end: an early one would break the pipe
[ -n "$example" ] || example=$(find "${folders[0]}" -name '*.png' | LC_ALL=C sort | awk 'NR == 1')
show similar -k 4 "$example"

cat <<END

That was words, then a picture, against what the pictures show: no file name or tag was read.
(The demo's library is apart: the commands above ran with --library $NEAR/demo-library.)

The same in a browser, at http://127.0.0.1:7373/:

    $NEAR/osprey serve --library $NEAR/demo-library

Now your own pictures:

    $NEAR/osprey index ~/Pictures
    $NEAR/osprey search a dog on a beach
    $NEAR/osprey similar ~/Pictures/one-of-them.jpg
    $NEAR/osprey --help

The default model, osprey-small, is small. A CLIP finds far more, and two commands bring one
(600 MB from the Hugging Face hub, once; docs/models.md lists others):

    $NEAR/osprey model get openai/clip-vit-base-patch32
    $NEAR/osprey index --model openai/clip-vit-base-patch32 ~/Pictures
END
