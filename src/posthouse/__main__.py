"""`python -m posthouse` is the `posthouse` command."""

from posthouse.cli.main import main

main()
