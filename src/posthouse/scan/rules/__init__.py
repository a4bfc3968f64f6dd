"""The rules, as data: one file a judgement."""
