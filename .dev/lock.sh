#!/bin/sh
# Writes .dev/requirements.lock anew: every package at one version, with hashes,
# and no registry named, so that whoever installs uses a registry of their own.
set -eu
cd "$(dirname "$0")/.."
uv pip compile pyproject.toml --extra server --extra local --group dev \
    --universal --python-version 3.11 --generate-hashes --no-header \
    --no-emit-index-url --no-emit-find-links --no-emit-package galaxy-jobs \
    --output-file .dev/requirements.lock --quiet "$@"

# What an image of the service holds: the same versions, and no more than it needs.
uv pip compile pyproject.toml --extra server --constraint .dev/requirements.lock \
    --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
    --no-emit-index-url --no-emit-find-links --no-emit-package galaxy-jobs \
    --output-file deploy/requirements.lock --quiet
