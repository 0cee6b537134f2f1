"""`python -m nbdag`: the command line, by the interpreter of one's choice."""

from .cli import main

if __name__ == "__main__":
    main(prog_name="python -m nbdag")
