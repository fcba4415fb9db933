"""`carrynet`, and `python -m carrynet`, the same."""

import os
import signal


def main() -> None:
    """Run the command line.

    While it is still being imported, nothing is under way that Ctrl-C could harm; as an
    exception it would come up somewhere in an import.
    """
    ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if ours:
        signal.signal(signal.SIGINT, lambda *_: os._exit(130))
    from carrynet.cli import main as command_line

    if ours:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    command_line()


if __name__ == "__main__":
    main()
