"""The only place with SQL: two engines under one set of queries, blobs, the full-text index.

`database.py` says what a database is: units handed to `write` and `read`, functions of a `Tx`. `sqlite.py`
and `postgres.py` are the engines; every other module is named after the table whose queries it holds.
A rule of mail has no place here. Open `database.py` first.
"""
