"""Make ``python -m fashion_cnn`` the same as ``fashion-cnn``."""

from fashion_cnn.app.cli import main

if __name__ == "__main__":
    main()
