"""Telling: events written with the change they speak of, and the webhooks that carry them out.

An event is a row written in the unit that made it true; streams are woken after the commit and read the row,
webhooks are deliveries written beside it. Leaves out the bodies webhooks carry: each surface registers its
own renderer in `app.py`. Open `outbox.py` first.
"""
