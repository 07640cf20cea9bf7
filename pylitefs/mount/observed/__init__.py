"""The mount that is told of every lock: its callbacks, and the table of who holds what."""
