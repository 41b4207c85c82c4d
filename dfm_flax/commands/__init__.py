"""The commands of `dfm`, a module each.

A command's module has a docstring, which is its `--help` text with the first line as the
summary; `add_arguments(parser)`; and `run(options, overrides)`, which returns the exit code.
`overrides` are the `--config.KEY=VALUE` arguments as KEY=VALUE; only a module with
`TAKES_OVERRIDES = True` gets any. Heavy imports belong into `run`: `dfm --help` imports all.
"""
