#!/bin/sh
# Runs uv with the arguments given; where uv is missing it is installed first, through pip.
# Called by setup.sh and by `make lock`. PYTHON names the Python to use, python3 by default.
set -eu
cd "$(dirname "$0")/.."

python=${PYTHON:-python3}
user_uv() {
    echo "$("$python" -m site --user-base)/bin/uv"
}

if command -v uv >/dev/null 2>&1; then
    exec uv "$@"
fi
if [ -x .uv/bin/uv ]; then
    exec .uv/bin/uv "$@"
fi
if [ -x "$(user_uv)" ]; then
    exec "$(user_uv)" "$@"
fi

echo "setup: uv is missing, installing it" >&2
make_venv() {
    rm -rf .uv
    "$python" -m venv .uv >/dev/null 2>&1
}
# Debian's Python comes without ensurepip, which venv needs, unless python3-venv is there.
if ! make_venv && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    { apt-get update -qq && apt-get install -y -qq python3-venv; } >/dev/null
    make_venv || true
fi
if [ -x .uv/bin/pip ]; then
    .uv/bin/pip install --quiet --disable-pip-version-check uv
    exec .uv/bin/uv "$@"
fi
rm -rf .uv
if "$python" -m pip --version >/dev/null 2>&1; then
    # Debian marks its Python as managed by apt; this installs for this user only.
    "$python" -m pip install --quiet --user --break-system-packages uv
    exec "$(user_uv)" "$@"
fi
echo "setup: uv cannot be installed, for $python has neither a working venv nor pip;" \
    "install uv, or python3-venv (Debian: apt-get install python3-venv, as root)" >&2
exit 1
