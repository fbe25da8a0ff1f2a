#!/usr/bin/env bash
# Fetches axe-core, which tests/page_checks.py lets look at the page beside its own
# checks, into .deps/axe-core; where npm is installed, once. Without it the page is
# tested all the same.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

VERSION=4.10.3
take_lock
[ "$(cat "$DEPS/axe-core/version" 2>/dev/null)" != $VERSION ] || exit 0
command -v npm >/dev/null || { say "    note: no npm here, so the page is tested without axe-core"; exit 0; }

step "Fetching axe-core, to test the page with (once)"
rm -rf "$DEPS/axe-core"
mkdir -p "$DEPS/axe-core"
cd "$DEPS/axe-core"
if run_logged axe "downloading" npm pack --silent "axe-core@$VERSION" && tar xzf axe-core-*.tgz package/axe.min.js; then
    rm axe-core-*.tgz
    echo $VERSION >version
else
    rm -rf "$DEPS/axe-core"
    say "    note: npm could not fetch axe-core, so the page is tested without it"
fi
