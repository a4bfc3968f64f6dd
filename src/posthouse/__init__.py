"""Posthouse: a self-hosted post house for AI agents.

One server gives every agent an address, a mailbox and a guarded way to write, and speaks the APIs of
existing services over one mailbox. How a message travels is in `docs/flow.md`; the words used here are in
`docs/glossary.md`. Open `app.py` first: it is the one place where the parts are put together.
"""

__version__ = "0.1.0"
