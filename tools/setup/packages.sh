#!/usr/bin/env bash
# Installs the system packages of the lists named (packages/NAME.txt), if any is missing.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
take_lock

if [ -z "${OSPREY_NO_APT:-}" ] && [ -r /etc/os-release ]; then
    case $(. /etc/os-release && echo "${ID:-}-${VERSION_ID:-}") in
        debian-12 | debian-13) ;;
        *) [ -e "$DEPS/said-untested" ] || {
            say "    note: this is $(system_name); Osprey's set-up is tested on Debian 12 and 13"
            touch "$DEPS/said-untested"
        } ;;
    esac
fi

for list; do
    # shellcheck disable=SC2046 # a list of words
    install_packages "packages ($list)" $(list_of "$list")
done
