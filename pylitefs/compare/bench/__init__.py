"""How fast pylitefs and real LiteFS are at the same work: rounds of measures, and their plots."""
