#!/bin/sh
# Makes .venv from requirements.lock with the members of the workspace installed in place.
# Called by every make target that needs the environment; quick when nothing changed.
# uv is taken from the PATH or, where it is missing, installed through pip.
set -eu
cd "$(dirname "$0")/.."

fail() {
    echo "setup: $*" >&2
    exit 1
}

stamp=.venv/.trimtab-setup
state=$(cat requirements.lock pyproject.toml ./*/pyproject.toml tools/setup.sh | cksum)
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$state" ]; then
    exit 0
fi

python=${PYTHON:-python3}
command -v "$python" >/dev/null 2>&1 ||
    fail "$python is missing: install Python 3.11 or newer (Debian: apt-get install python3 python3-venv)"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "Python 3.11 or newer is needed but $python is $("$python" -V 2>&1); set PYTHON to another one"

install_uv() {
    if "$python" -m venv .uv >/dev/null 2>&1; then
        .uv/bin/pip install --quiet --disable-pip-version-check uv && uv=.uv/bin/uv
        return
    fi
    rm -rf .uv
    if "$python" -m pip --version >/dev/null 2>&1; then
        # Debian marks its Python as managed by apt; this installs for this user only.
        "$python" -m pip install --quiet --user --break-system-packages uv ||
            "$python" -m pip install --quiet --user uv
        uv="$("$python" -m site --user-base)/bin/uv"
        return
    fi
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        apt-get update -qq && apt-get install -y -qq python3-venv >/dev/null
        "$python" -m venv .uv && .uv/bin/pip install --quiet uv && uv=.uv/bin/uv
        return
    fi
    fail "uv is missing and cannot be installed: neither venv nor pip works with $python" \
        "(Debian: apt-get install python3-venv, as root)"
}

if command -v uv >/dev/null 2>&1; then
    uv=uv
elif [ -x .uv/bin/uv ]; then
    uv=.uv/bin/uv
else
    echo "setup: installing uv"
    install_uv
fi

echo "setup: installing the environment into .venv (about 6 GB, with PyTorch for CUDA)"
"$uv" venv --quiet --no-python-downloads --python "$python" --allow-existing .venv
"$uv" pip install --quiet --python .venv --require-hashes -r requirements.lock
"$uv" pip install --quiet --python .venv --no-deps --no-build-isolation \
    -e ./api -e ./trainer-image -e ./cli
echo "$state" >"$stamp"
echo "setup: done, the command is .venv/bin/trimtab"
