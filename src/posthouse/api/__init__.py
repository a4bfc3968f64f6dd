"""The HTTP doors: one app for each surface behind a small dispatcher.

A surface has the same files everywhere: `routes` decodes, calls one function of the core and encodes,
`shapes` holds its words, `errors.py` its table of errors, `auth.py` turns its credential into a `Principal`.
`kit.py` is what they share. Surfaces do not know each other. Open `dispatcher.py` first.
"""
