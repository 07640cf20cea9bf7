"""pylitefs: LiteFS in readable Python. See docs/architecture.md for the house and its floors."""

__version__ = "0.1.0"
