#!/bin/sh
# Resolves the lock files of the local Galaxy again, or those of the releases named:
#   .dev/galaxy-locks.sh [24.2 ...]
# Every package at one version, with hashes, and no registry named. Galaxy's own packages
# declare no upper bounds for each other, so all of them are held at the one release, and
# others at what was published by the day in the .in file.
set -eu
cd "$(dirname "$0")/../src/adapters/embedded/galaxy_recipe/releases"
[ $# -gt 0 ] || set -- $(ls ./*.in | sed 's|^./||; s|\.in$||')
parts="app auth config data files job-execution job-metrics navigation objectstore
    schema selenium tool-shed-schema tool-util tool-util-models tours util web-apps
    web-framework web-stack workflows"
for release in "$@"; do
    version=$(sed -n 's/^galaxy-web-apps==//p' "$release.in")
    day=$(sed -n 's/^# exclude-newer: //p' "$release.in")
    for part in $parts; do
        echo "galaxy-$part==$version"
    done | uv pip compile "$release.in" --constraints - --overrides overrides.txt \
        --universal --python-version 3.11 --exclude-newer "$day" --generate-hashes \
        --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
        --output-file "$release.lock" --quiet
done
