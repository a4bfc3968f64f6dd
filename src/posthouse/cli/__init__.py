"""The `posthouse` command, one module per subject; `main` has the list of all commands and the entry point.

What every command does, calling the running server or opening the folder and printing JSON or lines, is in `command`.
Heavy parts are imported when a command needs them, so that `--help` and a refused command answer at once.
Exit codes: 0 done, 1 refused, 2 usage (also: not part of this version), 3 not allowed, 4 not found, 5 held,
6 timed out. With `--json` one object is the last line of standard output; logs go to standard error.
"""
