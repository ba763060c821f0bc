"""`python -m raybert` is the `raybert` command."""

from raybert.cli import main

main()
