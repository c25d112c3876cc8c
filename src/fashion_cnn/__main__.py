"""Start the command line, by ``fashion-cnn`` or ``python -m fashion_cnn``."""

from fashion_cnn.app.cli import main

if __name__ == "__main__":
    main()
