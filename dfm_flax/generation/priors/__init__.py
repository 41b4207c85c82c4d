"""The priors, one to a file: its name is the prior's, its docstring the help of the commands."""
