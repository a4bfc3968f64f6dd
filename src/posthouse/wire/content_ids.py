"""Content-IDs that can be written, for parts whose own came from a stranger (RFC 2045 §7, RFC 2392 §2).

Mail has ids with blanks, controls and letters in them. Such a part still goes into a forward or a draft: it gets an
id that can stand in a header, and the HTML that names it is made to say so.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection
from html import unescape
from urllib.parse import unquote

from posthouse.wire.headers import decode_text

# What `message_ids` writes, less what has a meaning in HTML or in a URL.
_PLAIN = re.compile(r"[A-Za-z0-9!#$*+\-./=?@^_`{|}~]{1,500}")


def plain(content_id: str) -> str:
    """The id as it can be written, without brackets: itself, or one made of it. The same for the same id."""
    bare = _bare(content_id)
    if _PLAIN.fullmatch(bare):
        return bare
    return f"{hashlib.sha256(bare.encode('utf-8', 'replace')).hexdigest()[:32]}@content.invalid"


def renamed(html: str, content_ids: Collection[str]) -> str:
    """The HTML with the ids of its `cid:` URLs as `plain` writes them, however they were escaped."""
    made = {_bare(each): plain(each) for each in content_ids if plain(each) != _bare(each)}
    if not made:
        return html
    # The longest first: an id may be the beginning of another.
    odd = sorted((bare for bare in made if _ENDS_URL.search(bare)), key=len, reverse=True)[:_MAX_ODD]
    for bare in odd:
        html = html.replace(f"cid:{bare}", f"cid:{made[bare]}")

    def anew(found: re.Match[str]) -> str:
        written = unescape(found[1])
        # The header was read as headers are: encoded words decoded, controls made blanks.
        for read in (written, unquote(written), decode_text(unquote(written))):
            if (bare := _bare(read)) in made:
                return f"cid:{made[bare]}"
        return found[0]

    return _URL.sub(anew, html)


_ENDS_URL = re.compile("[\"'<>\r\n]")
_URL = re.compile("cid:([^\"'<>\r\n]{1,2000})")
_MAX_ODD = 50  # each costs a pass over the HTML


def _bare(content_id: str) -> str:
    return content_id.strip().removeprefix("<").removesuffix(">")
