"""Start the command line, by ``fashion-cnn`` or ``python -m fashion_cnn``."""

import sys


def main() -> None:
    """Run the command line; Ctrl-C gives no traceback while its modules load, either."""
    try:
        from fashion_cnn.app import cli  # imports Click and NumPy, which takes a while
    except KeyboardInterrupt:
        sys.exit(130)  # as cli.main does
    cli.main()


if __name__ == "__main__":
    main()
