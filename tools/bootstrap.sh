#!/bin/sh
# Make a virtual environment with everything that development and the demo need.
#
#   tools/bootstrap.sh                  .venv on Python 3.13 (FraiseQL 1.9 needs it), else on the newest other one
#   tools/bootstrap.sh VENV VERSION     VENV on exactly that Python
#   tools/bootstrap.sh --find VERSION   print the path of that Python, or fail
#
# Silent when there is nothing to do.
set -eu

cd "$(dirname "$0")/.."
OLDEST_MINOR=11

fail() {
    echo "bootstrap: $*" >&2
    exit 1
}

# Prints the real path of a Python if it runs and is that version; a pyenv shim runs only what pyenv has switched on.
real_path() { # command, version
    "$1" -c "import sys; print(sys.executable) if '%d.%d' % sys.version_info[:2] == '$2' else sys.exit(1)" 2>/dev/null
}

find_python() { # version
    for candidate in "python$1" "${PYENV_ROOT:-${HOME:-}/.pyenv}"/versions/"$1"*/bin/python python3 python; do
        real_path "$candidate" "$1" && return 0
    done
    command -v uv >/dev/null 2>&1 || return 1
    found=$(uv python find "$1" 2>/dev/null) || { uv python install --quiet "$1" >&2 && found=$(uv python find "$1"); } ||
        return 1
    real_path "$found" "$1"
}

choose_python() {
    for version in 3.13 3.12 3.11; do
        find_python "$version" && return 0
    done
    python3 -c "import sys; print(sys.executable) if sys.version_info >= (3, $OLDEST_MINOR) else sys.exit(1)" 2>/dev/null
}

make_venv() { # python
    if "$1" -c 'import ensurepip, venv' 2>/dev/null; then
        "$1" -m venv --clear "$venv"
    elif command -v uv >/dev/null 2>&1; then
        uv venv --quiet --clear --seed --python "$1" "$venv"
    elif python3 -m pip --version >/dev/null 2>&1 && "$1" -m venv --clear --without-pip "$venv" 2>/dev/null; then
        python3 -m pip --python "$venv/bin/python" install -qq pip
    elif [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        echo "bootstrap: installing Debian's venv module" >&2
        install_debian_venv "$1" >&2
        "$1" -m venv --clear "$venv"
    else
        fail "$1 cannot make virtual environments; install its venv module: sudo apt-get install python3-venv"
    fi
}

install_debian_venv() { # python
    package=$("$1" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
    apt-get -qq update
    DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends -y "$package"
}

if [ "${1:-}" = --find ]; then
    find_python "$2"
    exit
fi

venv=${1:-.venv}
stamp=$venv/.bootstrap
state="$PWD $(cat pyproject.toml constraints.txt tools/bootstrap.sh | cksum)"
if [ "$(cat "$stamp" 2>/dev/null)" = "$state" ] && "$venv/bin/python" -c '' 2>/dev/null; then
    exit 0
fi

if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    if [ -n "${2:-}" ]; then
        python=$(find_python "$2") || fail "there is no Python $2"
    else
        python=$(choose_python) ||
            fail "there is no Python 3.$OLDEST_MINOR or newer; install one: sudo apt-get install python3 python3-venv"
    fi
    echo "bootstrap: making $venv with $python" >&2
    make_venv "$python"
fi

echo "bootstrap: installing into $venv" >&2
pip() {
    "$venv/bin/python" -m pip --disable-pip-version-check install -qq --root-user-action ignore "$@"
}
pip 'pip>=25.1' # older ones do not know dependency groups
# FraiseQL and psycopg-binary as wheels only: pip would else take sources that need compilers and a database's headers.
pip --constraint constraints.txt --only-binary fraiseql,psycopg-binary --group dev --editable '.[all,examples,fraiseql]'
echo "$state" >"$stamp"
