#!/bin/sh
# Pins the images in deploy/ that are not ours by digest, as their registry has them now.
# Again, it moves them to the present ones. Needs docker and the registry.
set -eu
cd "$(dirname "$0")/.."
for image in python:3.11-slim postgres:18; do
    digest=$(docker buildx imagetools inspect --format '{{.Manifest.Digest}}' "$image")
    printf '%s' "$digest" | grep -Eqx 'sha256:[0-9a-f]{64}' || {
        echo "no digest of $image: $digest" >&2
        exit 1
    }
    sed -E -i "s|$image(@sha256:[0-9a-f]{64})?|$image@$digest|" \
        deploy/Containerfile deploy/compose.yaml
done
