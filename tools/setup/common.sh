# What the set-up scripts share: where things lie, how a step is shown, how it
# fails. Sourced, never run. Each script begins with:
#     . "$(dirname "${BASH_SOURCE[0]}")/common.sh"
# A step shows one line (moving, on a terminal); what its commands say goes to a
# log, whose end is shown and whose path is named when the step fails.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
DEPS=$ROOT/.deps
LOGS=$DEPS/log
BUILD=${BUILD:-$ROOT/build}
case $BUILD in /*) ;; *) BUILD=$ROOT/$BUILD ;; esac
JOBS=${JOBS:-$(nproc)}

if [ -t 2 ]; then BOLD=$'\e[1m' RED=$'\e[31m' PLAIN=$'\e[0m' WIPE=$'\r\e[K'; else BOLD='' RED='' PLAIN='' WIPE=''; fi

say() { printf '%s\n' "$*" >&2; }
step() { printf '%s==>%s %s\n' "$BOLD" "$PLAIN" "$*" >&2; }

# die MESSAGE [LINE...]: says what is wrong and, indented, what to do about it.
die()
{
    printf '%serror:%s %s\n' "$RED" "$PLAIN" "$1" >&2
    shift
    [ $# -eq 0 ] || printf '       %s\n' "$@" >&2
    exit 1
}

# run_logged NAME LABEL COMMAND...: runs it with its output in the log NAME.log,
# showing LABEL, the time and, from ninja, the count. Returns the command's status.
run_logged()
{
    local name=$1 label=$2 log=$LOGS/$1.log start=$SECONDS shown=$SECONDS pid status=0 count
    shift 2
    mkdir -p "$LOGS"
    { printf '$'; printf ' %q' "$@"; printf '\n'; } >"$log"
    "$@" >>"$log" 2>&1 </dev/null &
    pid=$!
    trap 'kill "$pid" 2>/dev/null; wait "$pid" 2>/dev/null; printf "\n" >&2; exit 130' INT TERM
    while kill -0 "$pid" 2>/dev/null; do
        sleep 0.2
        count=$(tail -c 2000 "$log" | tr '\r' '\n' | grep -o '^\[[0-9]*/[0-9]*\]' | tail -1 || true)
        if [ -n "$WIPE" ]; then
            printf '%s    %s %s %d s' "$WIPE" "$label" "$count" $((SECONDS - start)) >&2
        elif [ $((SECONDS - shown)) -ge 20 ]; then
            shown=$SECONDS
            say "    $label $count $((SECONDS - start)) s"
        fi
    done
    wait "$pid" || status=$?
    trap - INT TERM
    [ -z "$WIPE" ] || printf '%s' "$WIPE" >&2
    if [ $status -eq 0 ]; then
        [ $((SECONDS - start)) -lt 2 ] || say "    $label: $((SECONDS - start)) s"
    else
        say "    $label: failed; the end of $log:"
        tail -n 25 "$log" | sed 's/^/    | /' >&2
    fi
    return $status
}

# need_space MEGABYTES FOLDER WHAT: before a step that writes much.
need_space()
{
    local free
    mkdir -p "$2" 2>/dev/null || die "cannot make the folder $2" "Check who owns $(dirname "$2")."
    free=$(df -Pm "$2" | awk 'NR == 2 { print $4 }')
    [ "$free" -ge "$1" ] || die "not enough disk space for $3: it takes $1 MB, $2 has $free MB free"
}

# One set-up at a time in this tree; a second one waits for the first.
take_lock()
{
    mkdir -p "$DEPS" 2>/dev/null && [ -w "$DEPS" ] || die "cannot write to $DEPS" \
        "Was an earlier set-up run as another user? Give the folder back: chown -R $(id -un) $DEPS"
    command -v flock >/dev/null || return 0
    exec 9>"$DEPS/lock"
    flock -n 9 || { say "    waiting for another set-up in $ROOT"; flock 9; }
}

# ---- packages of the system ----

missing_packages()
{
    local installed name
    installed=$(dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' 2>/dev/null | sed -n 's/^ii *//p')
    for name; do
        grep -qxF -- "$name" <<<"$installed" || printf '%s\n' "$name"
    done
}

# The packages of a list, and of its supplement for this release (NAME.debian-13.txt).
list_of()
{
    local more
    more=$ROOT/tools/setup/packages/$1.$(. /etc/os-release 2>/dev/null && echo "${ID:-}-${VERSION_ID:-}").txt
    [ -e "$more" ] || more=
    cat "$ROOT/tools/setup/packages/$1.txt" ${more:+"$more"} | sed 's/#.*//' | tr -s ' \t\n' '\n' | sed '/^$/d'
}

# install_packages WHAT NAME...: installs those that are missing, if any.
install_packages()
{
    local what=$1 missing as_root=()
    shift
    [ -z "${OSPREY_NO_APT:-}" ] || return 0
    if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
        die "this system has no apt; the set-up is made for Debian 12 and 13" \
            "Install what corresponds to these Debian packages by hand:" "  $*" \
            "and run the command again with OSPREY_NO_APT=1."
    fi
    missing=$(missing_packages "$@" | tr '\n' ' ')
    [ -n "$missing" ] || return 0
    step "Installing $what: ${missing% }"
    if [ "$(id -u)" -ne 0 ]; then
        if ! command -v sudo >/dev/null; then
            die "installing packages needs root, and there is no sudo here" \
                "Run this as root, then the same command again:" "  apt-get install ${missing% }"
        fi
        if ! sudo -n true 2>/dev/null && ! { [ -t 0 ] && sudo -v; }; then
            die "installing packages needs root, and sudo refused or wants a password" \
                "Run this, then the same command again:" "  sudo apt-get install ${missing% }"
        fi
        as_root=(sudo -n)
    fi
    need_space 1500 /var/cache "the system's packages"
    # shellcheck disable=SC2086 # a list of words
    if ! apt_knows $missing; then
        run_logged apt-update "reading package lists" "${as_root[@]}" apt-get update ||
            die "apt-get update failed" "Is there a network? Are the sources in /etc/apt right?"
        apt_knows $missing || die "apt does not know: $(apt_unknown $missing)" \
            "This is $(system_name); the set-up is made for Debian 12 and 13, section main."
    fi
    # A list that is out of date names files that are gone: then read it again, once.
    apt_install $missing || {
        run_logged apt-update "reading package lists" "${as_root[@]}" apt-get update &&
            apt_install $missing
    } || die "apt-get install failed" "Log: $LOGS/apt-install.log" \
        "Is there a network, and room in /var? The packages wanted: ${missing% }"
}

apt_install()
{
    run_logged apt-install "downloading and installing" "${as_root[@]}" \
        env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        -o DPkg::Lock::Timeout=300 "$@"
}

apt_unknown()
{
    local name
    for name; do
        apt-cache show "$name" 2>/dev/null | grep '^Filename:' >/dev/null || printf '%s ' "$name"
    done
}

apt_knows() { [ -z "$(apt_unknown "$@")" ]; }

system_name() { (. /etc/os-release 2>/dev/null && echo "${PRETTY_NAME:-unknown}") || uname -s; }
