"""Nodes as processes of their own: started one by one, or forked from one that has loaded all."""
