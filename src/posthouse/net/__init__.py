"""The way to other hosts: DNS, and the one guarded dialer for whatever the server calls at a caller's wish.

Knows nothing of mail. Open `dialer.py` first.
"""
