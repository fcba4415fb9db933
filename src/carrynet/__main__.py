"""`python -m carrynet`, the same as `carrynet`."""

from carrynet.cli import main

main()
