"""Start the command line, by ``fashion-cnn`` or ``python -m fashion_cnn``."""

import signal
import sys


def main() -> None:
    """Run the command line; Ctrl-C gives no traceback while modules load or Python ends either."""
    handler = signal.getsignal(signal.SIGINT)
    if handler is signal.default_int_handler:  # else the shell has it ignored
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from fashion_cnn.app import cli  # imports Click and NumPy, which takes a while

    try:
        signal.signal(signal.SIGINT, handler)
        cli.main()
    except KeyboardInterrupt:
        sys.exit(cli.INTERRUPTED)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


if __name__ == "__main__":
    main()
