"""`python -m oddtoc` is the command `oddtoc`."""

from oddtoc.cli import main

if __name__ == "__main__":
    main()
