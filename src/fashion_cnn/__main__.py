"""Let ``python -m fashion_cnn`` be ``fashion-cnn``."""

from fashion_cnn.cli import main

if __name__ == "__main__":
    main()
