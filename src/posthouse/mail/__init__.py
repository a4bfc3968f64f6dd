"""What there is: mailboxes, messages, threads, drafts, attachments, search.

Leaves out how mail comes and goes (`inbound`, `outbound`) and who may see it (`accounts`). Everything here
that changes an account's mail does so under a `Journal` (`journal.py`), so that states, streams and webhooks
tell of it. Words are those of RFC 8621. Open `filing.py` first, or `reading.py` for what is only read.
"""
