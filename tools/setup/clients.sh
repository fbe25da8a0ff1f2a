#!/usr/bin/env bash
# Makes the virtual environment of the clients that others wrote (.deps/clients), in
# which tests/clients/*.py run; anew when requirements.txt changes.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

REQUIREMENTS=$ROOT/tests/clients/requirements.txt
VENV=$DEPS/clients

"$ROOT/tools/setup/packages.sh" peers
take_lock
# Debian's Python before one of the user's: the versions pinned are tried with it.
python=/usr/bin/python3
[ -x "$python" ] || python=$(command -v python3) || die "there is no python3"
fingerprint=$("$python" --version && sha256sum <"$REQUIREMENTS")
[ "$(cat "$VENV/fingerprint" 2>/dev/null)" != "$fingerprint" ] || exit 0

step "Making a virtual environment with openai, clip-retrieval's client and schemathesis (once)"
need_space 300 "$DEPS" "the clients' virtual environment"
rm -rf "$VENV"
run_logged clients "making $VENV" "$python" -m venv "$VENV" ||
    die "cannot make a virtual environment" "Install python3-venv. Log: $LOGS/clients.log"
run_logged clients-pip "installing" \
    "$VENV/bin/pip" install --no-cache-dir --no-deps -r "$REQUIREMENTS" ||
    die "pip cannot install the clients" "Is there a network? Log: $LOGS/clients-pip.log"
printf '%s\n' "$fingerprint" >"$VENV/fingerprint"
