"""SMTP on sockets: the server for mail from outside and for submission, and the client that delivers.

What is said is `wire/smtp*.py` without sockets; rules of mail are in `inbound` and `outbound`. The server: open
`server.py` first, then `connection.py`; `doors.py` decides. The client: `client.py`, then `transaction.py`.
"""
