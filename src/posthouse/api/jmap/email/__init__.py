"""Email (RFC 8621 §4): reading, finding, making, taking in."""
