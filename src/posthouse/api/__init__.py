"""The HTTP doors: one app for each surface behind a small dispatcher.

`agentmail` and `jmap` are the surfaces; they do not know each other. In both, `errors.py` is the table of errors and
`auth.py` turns a credential into a `Principal`. Of AgentMail, `routes` decodes, calls one function of the core and
encodes, and `shapes` holds the words; JMAP has a module for each type, with its methods. What the surfaces share is
beside them: `kit.py` (what every handler is given, pages), `http.py`, `limits.py`, `files.py`, `links.py`,
`newcomers.py`. `connection.py` guards the sockets. Open `dispatcher.py` first.
"""
