"""The mount with observed locks: it is told of every `fcntl` lock, and tells who holds what.

operations.py has the callbacks, lock_table.py the owners. The rule: the kernel still decides every conflict,
on the files in the data directory; the table beside it only knows whose the locks are.
"""
