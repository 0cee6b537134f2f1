"""`python -m nbdag`: the command line of nbdag in the chosen Python interpreter."""

from .cli import main

if __name__ == "__main__":
    main(prog_name="python -m nbdag")
