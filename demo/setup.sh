# Sourced by demo/up and tests/run: sees to the system packages and makes .venv with pylitefs in it.
#
#   root=…; . demo/setup.sh; setup demo|app|test
#
# Says what it does, does nothing that is done already, and two at a time wait for each other.
# PYTHON names the Python to use; PYLITEFS_NO_FUSE=1, _NO_NGINX and _NO_BROWSER leave those packages out.

say() { printf '%s\n' "$*" >&2; }

# -P: what lies in the folder one stands in is no module of ours.
find_python() {
    local candidate
    for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
        if "$candidate" -P -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            python=$candidate
            return
        fi
    done
    say "Python 3.11 or newer is needed (looked for: ${PYTHON:-python3, python3.14 … python3.11})."
    say "Install one, or name it: PYTHON=/path/to/python3.11 $0"
    exit 1
}

has_library() {
    "$python" -P -c 'import ctypes.util, sys; sys.exit(not ctypes.util.find_library(sys.argv[1]))' "$1"
}

# Sets `missing` to the packages that are, by looking for what they bring.
find_missing_packages() {
    missing=()
    if ! "$python" -P -c 'import ensurepip, venv' 2>/dev/null; then
        # The package is named after the version only where that is not the release's own Python.
        [ "$(basename "$python")" = python3 ] && missing+=(python3-venv) || missing+=("$(basename "$python")-venv")
    fi
    command -v sqlite3 >/dev/null || missing+=(sqlite3)
    if [ "${purpose:-demo}" != demo ] && [ "${PYLITEFS_NO_NGINX:-}" != 1 ]; then
        command -v nginx >/dev/null || [ -x /usr/sbin/nginx ] || missing+=(nginx-light)
    fi
    if [ "${purpose:-demo}" = test ] && [ "${PYLITEFS_NO_BROWSER:-}" != 1 ]; then
        command -v chromium >/dev/null || missing+=(chromium)
        has_library atomic || missing+=(libatomic1) # the Node.js that Playwright brings is linked to it
    fi
    [ "${PYLITEFS_NO_FUSE:-}" = 1 ] && return
    command -v fusermount >/dev/null || missing+=(fuse3)
    if ! has_library fuse; then
        # Its name since the 64-bit time_t of Debian 13 and Ubuntu 24.04. Never `fuse`: that replaces fuse3.
        if apt-cache show libfuse2t64 >/dev/null 2>&1; then missing+=(libfuse2t64); else missing+=(libfuse2); fi
    fi
}

install_packages() {
    local sudo=()
    find_missing_packages
    [ ${#missing[@]} -eq 0 ] && return
    if ! command -v apt-get >/dev/null; then
        say "Missing: ${missing[*]} (Debian's names). Install them with this system's package manager."
        exit 1
    fi
    if [ "$(id -u)" -ne 0 ]; then
        if ! sudo -n true 2>/dev/null; then
            say "Missing system packages. Run this once, then $0 again:"
            say "  sudo apt-get update && sudo apt-get install -y --no-install-recommends ${missing[*]}"
            exit 1
        fi
        sudo=(sudo -n)
    fi
    say "Installing ${missing[*]} with apt …"
    "${sudo[@]}" apt-get update -qq || say "apt-get update failed; trying with the package lists that are here."
    find_missing_packages # the lists may know the newer names only now
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
    find_missing_packages
    if [ ${#missing[@]} -ne 0 ]; then
        say "Still missing after apt-get install: ${missing[*]}"
        exit 1
    fi
}

# The stamp says what .venv was made from; another one (a pull, a moved folder, another Python) makes it anew.
make_venv() {
    local extra=$1 venv=$root/.venv stamp want
    stamp=$venv/.made-for-$extra
    want="$root $("$python" -P -c 'import sys; print(sys.version)') $(sha256sum <"$root/pyproject.toml")"
    if [ -x "$venv/bin/pylitefs" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$want" ]; then
        return
    fi
    say "Installing pylitefs into $venv …"
    if ! grep -qsF "$venv" "$venv/bin/pip" || ! "$venv/bin/python" -P -m pip --version >/dev/null 2>&1; then
        "$python" -P -m venv --clear "$venv"
    fi
    local target=$root
    [ "$extra" = demo ] || target="$root[$extra]"
    "$venv/bin/python" -P -m pip install --quiet --disable-pip-version-check --editable "$target"
    printf '%s\n' "$want" >"$stamp"
    # The tests' packages include the demo's and the application's, and those the demo's.
    [ "$extra" = test ] && printf '%s\n' "$want" >"$venv/.made-for-app"
    [ "$extra" != demo ] && printf '%s\n' "$want" >"$venv/.made-for-demo"
    return 0
}

setup() {
    local purpose=$1
    find_python
    exec 9<"$root"
    flock 9
    install_packages
    make_venv "$1"
    exec 9<&-
}
