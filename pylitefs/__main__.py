"""`python -m pylitefs` is the command `pylitefs`."""

from pylitefs.cli.main import main

if __name__ == "__main__":
    main()
