"""`python -m pylitefs` is the command `pylitefs`.

Python has put the current directory in front of everything (see child_python.py). Unless the package itself
lies there, it goes before anything else is imported.
"""

import sys

if not sys.flags.safe_path and not __file__.startswith(f"{sys.path[0]}/"):
    del sys.path[0]

from pylitefs.cli.main import main

if __name__ == "__main__":
    main()
