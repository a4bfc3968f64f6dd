"""The text engine: what a message says, however it is wrapped, and the rules it is held against.

One engine, two judgements on it: what agents send (`outbound`) and what strangers send (`inbound`). It knows no
account, no database and no network, and its time is bounded and linear in what it is given. Whoever calls it does so
off the event loop.

Open `outbound` first; `passages` and `opening` say what is looked at, `engine` how, `rules/*.toml` for what.
"""
