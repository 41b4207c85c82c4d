"""The bases that layers can have, by the names of their files."""
