"""What pages need besides themselves: one style sheet, three scripts, an icon.

Rule of the file: everything comes from this package. The address of a file holds
a digest of it, so that browsers keep it for ever and never show an old one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from attrs import frozen
from litestar import Response, get
from litestar.exceptions import NotFoundException
from litestar.params import FromPath


_TYPES = {
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}


@frozen
class Asset:
    """A file, as it is served."""

    content: bytes
    media_type: str
    url: str


def _asset(path: Path) -> Asset:
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()[:12]
    return Asset(content, _TYPES[path.suffix], f"/ui/assets/{digest}/{path.name}")


ASSETS: Mapping[str, Asset] = MappingProxyType(
    {
        path.name: _asset(path)
        for path in (Path(__file__).parent / "static").iterdir()
        if path.suffix in _TYPES
    }
)
"""Every file by its name."""


@get("/ui/assets/{digest:str}/{name:str}", sync_to_thread=False)
def get_asset(digest: FromPath[str], name: FromPath[str]) -> Response[bytes]:
    """Give a file."""
    found = ASSETS.get(name)
    if found is None or found.url != f"/ui/assets/{digest}/{name}":
        raise NotFoundException
    return Response(
        found.content,
        media_type=found.media_type,
        headers={"Cache-Control": "public, max-age=31536000, immutable"},
    )
