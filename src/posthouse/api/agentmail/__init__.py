"""AgentMail's API below `/v0`: inboxes, messages, threads and webhooks, in labels instead of folders.

Follows the service's own definition and its published clients; where they differ from its older documents,
one handler serves both (`docs/api/agentmail.md`). Open `app.py` first.
"""
