"""Text whose paragraphs were broken into lines to be put together again (`format=flowed`).

Obeys RFC 3676 §4: a line that ends in a blank goes on in the next, at the same depth of quotes.
"""

from __future__ import annotations

from posthouse.wire.headers import Headers, parse_parameters


def flow_of(headers: Headers) -> tuple[bool, bool]:
    """Whether a text part with this header is flowed, and whether the blank at the end of a line goes (`delsp`)."""
    for name, value in headers:
        if len(name) == 12 and name.lower() == "content-type":
            if "flowed" not in value.lower():
                return False, False
            _, parameters = parse_parameters(value)
            is_flowed = parameters.get("format", "").strip().lower() == "flowed"
            return is_flowed, parameters.get("delsp", "").strip().lower() == "yes"
    return False, False


def unflow(text: str, *, deletes_blank: bool) -> str:
    """The text with each paragraph on one line; quotes keep their marks, followed by one blank.

    Args:
        text: lines ending with LF.
        deletes_blank: the parameter `delsp`: words of scripts without blanks are broken anywhere.

    Source: RFC 3676 §4.1–4.5.
    """
    out: list[str] = []
    paragraph: list[str] = []
    depth = 0

    def end() -> None:
        if paragraph:
            out.append((">" * depth + " " if depth else "") + "".join(paragraph))
            paragraph.clear()

    for line in text.split("\n"):
        content = line.lstrip(">")
        own_depth = len(line) - len(content)
        if content[:1] == " ":
            content = content[1:]  # §4.4, space-stuffing
        is_signature = content == "-- "  # §4.3: it neither goes on nor is gone on to
        if own_depth != depth or is_signature or not content:
            end()
        depth = own_depth
        if content.endswith(" ") and not is_signature:
            paragraph.append(content[:-1] if deletes_blank else content)
            continue
        paragraph.append(content)
        end()
        if not content and out and depth and out[-1].endswith("> "):
            out[-1] = out[-1].rstrip()
    end()
    return "\n".join(out)
