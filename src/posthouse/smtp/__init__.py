"""SMTP on sockets: the server for mail from outside and for submission, and the client that delivers.

The dialogue itself is `wire/smtp.py`; rules of mail are in `inbound` and `outbound`. Open `server.py` first.
"""
