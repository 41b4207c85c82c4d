"""How far a reconstruction is from its original, and what it costs."""
