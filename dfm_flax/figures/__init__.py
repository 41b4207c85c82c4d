"""Pictures of results, from arrays."""
