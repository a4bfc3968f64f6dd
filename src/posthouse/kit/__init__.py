"""What every other package may use: errors, ids, clock, settings, logging, `Principal`.

No mail and no network in here. Open `errors.py` first: the one hierarchy every door translates.
"""
