"""What the project claims about its speed, measured beside a peer or a physical limit in the same run.

One module per claim, each with `measure(work)`, which yields rows as they are known. `house` and `postfix` hold the two
servers, `smtp_load` and `http_load` are the clients, which run in processes of their own. Open `__main__` first;
`README.md` says what each figure means.
"""
