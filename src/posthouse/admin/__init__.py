"""The owner's commands, as functions of a `House`: what the command line and the control socket both run.

Each takes and returns plain values that survive JSON; errors are the core's own. One module per subject;
`commands` has the table of all of them, `known` what the owner may name and this version may lack.
"""
