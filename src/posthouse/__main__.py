"""`python -m posthouse` is the `posthouse` command."""

from posthouse.cli import main

main()
