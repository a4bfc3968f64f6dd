"""JMAP, whole, and Atomic Mail's door to it.

Follows RFC 8620 (core), 8621 (mail), 8887 (WebSocket), 9404 (blobs), 9425 (quotas) and 3834 by way of the
vacation response; where Atomic Mail's callers need it otherwise, each deviation stands in one place and is marked
D1 to D11. Leaves out calendars, contacts and sharing: a credential opens one account.

Open `app.py` for the paths, `request.py` for how a request is answered, `methods.py` for what all types have in
common, and the file of a type for what is special about it.
"""
