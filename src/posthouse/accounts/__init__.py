"""Who there is: organisations, pods, accounts with their addresses, domains, keys, identities, quotas.

Leaves out mail itself (`mail`) and HTTP (a door turns a header into the secret it hands to `keys`). Open
`keys.py` first: every door begins there.
"""
