#!/bin/sh
# Makes .venv: uv where there is one, else Python's own venv and pip.
set -eu
cd "$(dirname "$0")/.."
echo "installing into .venv ..." >&2
rm -f .venv/ready
if command -v uv >/dev/null 2>&1; then
    [ -x .venv/bin/python ] || uv venv --quiet --python '>=3.11' .venv
    export VIRTUAL_ENV="$PWD/.venv"
    uv pip sync --quiet --compile-bytecode --require-hashes .dev/requirements.lock
    uv pip install --quiet --no-deps --editable .
else
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
        echo "galaxy-jobs needs Python 3.11 or newer; this is $(python3 --version)" >&2
        exit 2
    }
    [ -x .venv/bin/pip ] || python3 -m venv .venv # uv makes one without pip
    pip=".venv/bin/pip install --quiet --disable-pip-version-check --no-deps"
    # uv first, which installs the others many times faster; pip, where it cannot.
    awk '/^[a-z]/ {uv = /^uv==/} uv' .dev/requirements.lock >.venv/uv.lock
    if ! { $pip --require-hashes --requirement .venv/uv.lock &&
        VIRTUAL_ENV="$PWD/.venv" .venv/bin/uv pip sync --quiet --compile-bytecode \
            --cache-dir .venv/cache --require-hashes .dev/requirements.lock; }; then
        $pip --require-hashes --requirement .dev/requirements.lock
    fi
    rm -rf .venv/cache # of a uv that nobody asked for
    $pip --editable .
fi
touch .venv/ready
