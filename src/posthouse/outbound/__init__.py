"""Mail out: submission, policy, approvals, suppressions, signing, the queue and what comes back.

Leaves out sockets (couriers are handed over by `app.py`) and formats (`wire`). Follows RFC 6409, RFC 5321
§4.5.4, RFC 3461–3464. Open `submission.py` first: every door sends through its one function.
"""
