"""Formats and protocols as pure functions, one module per standard, named after it.

Nothing here opens a socket, starts a task or asks the time: a `Resolver` or an instant is passed in. What
each module obeys is cited beside the line; `docs/standards.md` lists it all. Open `message.py` first.
"""
