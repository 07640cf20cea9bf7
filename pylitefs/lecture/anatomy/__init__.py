"""Formats taken apart, field by field: every byte of a file with its name and its meaning.

The rule: the parts of a file cover all of its bytes, without a gap, also of a damaged one; what cannot be
read is shown as what it is. fields.py has what they share; each of the others is one format. Read
position.py first, the shortest, then ltx.py.
"""
