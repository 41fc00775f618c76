#!/bin/sh
# Makes .venv from requirements.lock with the members of the workspace installed in place.
# Called by every make target that needs the environment; quick when nothing changed.
# PYTHON names the Python to use, python3 by default.
set -eu
cd "$(dirname "$0")/.."

fail() {
    echo "setup: $*" >&2
    exit 1
}

# Scripts and in-place installs hold absolute paths, so a tree that was moved is set up anew.
stamp=.venv/.trimtab-setup
state=$({ pwd && cat requirements.lock pyproject.toml ./*/pyproject.toml tools/setup.sh; } | cksum)
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$state" ]; then
    exit 0
fi

python=${PYTHON:-python3}
command -v "$python" >/dev/null 2>&1 ||
    fail "$python is missing: install Python 3.11 or newer (Debian: apt-get install python3 python3-venv)"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "Python 3.11 or newer is needed but $python is $("$python" -V 2>&1); set PYTHON to another one"

rm -f "$stamp"
tools/uv.sh venv --quiet --no-python-downloads --python "$python" --allow-existing .venv
echo "setup: installing the environment into .venv (about 7 GB, with PyTorch for CUDA)"
# Compiled here, since Python may be told to write no bytecode: Ray starts many processes.
tools/uv.sh pip sync --quiet --compile-bytecode --python .venv --require-hashes requirements.lock
# The build backend is in the lock: nothing is asked of a registry.
tools/uv.sh pip install --quiet --python .venv --no-deps --no-build-isolation \
    -e ./api -e ./operator -e ./trainer-image -e ./cli
echo "$state" >"$stamp"
echo "setup: done, the command is .venv/bin/trimtab"
