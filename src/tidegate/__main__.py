"""`python -m tidegate`: the program, by its module."""

from tidegate.cli.main import main

if __name__ == "__main__":
    main()
