"""AgentMail's words and their conversions, one module for each resource. `labels.py` is the one to open first."""
