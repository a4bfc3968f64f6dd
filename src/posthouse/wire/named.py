"""Which parts an HTML text shows itself: those it names by `cid:` or by their Content-Location.

Obeys RFC 2392 §2 (a `cid:` URL is a Content-ID, percent-encoded), RFC 2557 §4 and §5 (Content-Location).
"""

from __future__ import annotations

import re
from collections.abc import Collection
from html import unescape
from urllib.parse import unquote

from posthouse.wire.mime import Part

_CID = re.compile(r"cid:\s{0,8}([^\"'<>\s)]{1,998})", re.IGNORECASE)
_REFERENCE = re.compile(
    r"""(?:src|href|background|data|poster)\s{0,8}=\s{0,8}(?:"([^"<>]{1,998})"|'([^'<>]{1,998})'|([^\s"'<>]{1,998}))
      | url\(\s{0,8}["']?([^"'()<>]{1,998})["']?\s{0,8}\)""",
    re.IGNORECASE | re.VERBOSE,
)
# More references than this are looked at by nobody.
_MAX_REFERENCES = 2_000


def named_in(html: str, parts: Collection[Part]) -> frozenset[str]:
    """The ids of those of the parts that the HTML names."""
    by_cid = [part for part in parts if part.content_id]
    by_location = [part for part in parts if part.location]
    named: set[str] = set()
    if by_cid:
        ids = {_plain(found.group(1)) for found, _ in zip(_CID.finditer(html), range(_MAX_REFERENCES), strict=False)}
        named.update(part.part_id for part in by_cid if ids and _plain(part.content_id or "") in ids)
    if by_location and len(named) < len(by_location):
        places: set[str] = set()
        for found, _ in zip(_REFERENCE.finditer(html), range(_MAX_REFERENCES), strict=False):
            places.add(unescape(next(group for group in found.groups() if group is not None)).strip())
        named.update(part.part_id for part in by_location if part.location in places)
    return frozenset(named)


def _plain(content_id: str) -> str:
    """A Content-ID as it is compared: RFC 2392 §2 encodes it in the URL, and senders do so in the header too."""
    return unquote(unescape(content_id)).lower()
