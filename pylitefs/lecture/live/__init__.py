"""A lesson's live nodes: started, stepped, cut off, broken, and looked at when all is still."""
