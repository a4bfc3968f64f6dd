"""Mail in: who is it for, take it durably, then read, judge and file it.

Whatever takes mail in (SMTP, the local courier, a webhook, a poller) does it through `spool.receive`, and
answers its caller only after the commit. Follows RFC 5321 §4 and §6. Open `spool.py` first, then `ingest.py`.
"""
