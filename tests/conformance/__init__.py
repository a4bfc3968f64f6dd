"""Public suites and documents that are not part of this project, run against a real server.

`./dev conformance PATH` looks below PATH for what it knows and runs it: see `__main__.py`.
"""
