#!/bin/sh
# Sees to it that there is the browser which tests of the pages run: it is no package
# of Python's, so .dev/install.sh cannot bring it.
set -eu
if [ -n "${CHROMIUM:-}" ]; then
    exit 0
fi
found() {
    for name in chromium chromium-browser google-chrome google-chrome-stable; do
        if command -v "$name" >/dev/null 2>&1; then
            return 0
        fi
    done
    return 1
}
# Without a terminal, as in CI, there is nobody to ask.
agreed() {
    if [ -t 0 ] && [ -t 2 ]; then
        printf 'make test needs Chromium. Install it by apt-get (300 MB)? [y/N] ' >&2
        read -r answer && [ "$answer" = y ]
    fi
}
if ! found && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1 && agreed; then
    echo "installing Chromium, which tests of the pages need ..." >&2
    export DEBIAN_FRONTEND=noninteractive
    if ! { apt-get update -qq && apt-get install -y -qq chromium; } >/dev/null; then
        echo "apt-get could not install it" >&2
    fi
fi
found || {
    echo "make test needs Chromium: install it (Debian: apt-get install chromium)," \
        "or set CHROMIUM to its path. (make unit needs none.)" >&2
    exit 1
}
