"""`python -m streams` is `koridor`."""

from streams.cli import main

if __name__ == "__main__":
    main()
