"""SQLite's own tests on a mount: `python -m tests.sqlite_suite --testfixture PATH --tests DIR [NAMES]`.

SQLite's source package has tests in Tcl, and a program that runs them, `testfixture`. Both come from
elsewhere; this package is given their paths and knows nothing of how they were made. Each test file runs on a
plain folder first, and then on the primary's mount of a fresh cluster with a replica. The rule: only a case
that passes on the plain folder says something about a mount. What differs there is in expected.yaml with its
reason, or it is a failure.

    prelude.tcl     what is said to testfixture before a test
    reading.py      which cases ran and which failed, from what testfixture printed (pure)
    verdict.py      what that says of a mount, beside a plain folder and expected.yaml (pure)
    places.py       where a test runs, and what must hold there afterwards
    __main__.py     one file after another; the table
"""
