"""Which rows a transaction changed: told from the b-tree pages in the LTX files.

    side.py       a database as it was: its pages, its schema, which table a page belongs to
    touched.py    the pages in which rows can differ between two states
    loose.py      an overflow page that changed alone: whose row it is
    compare.py    the rows of these pages, before and after
    difference.py what else differs: the schema, a VACUUM; what is folded away
    literals.py   values as SQL, as JSON and for people
    script.py     the SQL that does it, or undoes it
    history.py    a line a transaction

The rule: the cost goes with the pages that changed. A page's table is found by searching the tables for the
page's first key, and that costs what a tree is deep. Nothing is written, and nothing restored.
Read compare.py first.
"""
