"""The endpoints, one module for each resource; each decodes, calls the core and encodes."""
