"""Images as machines over a pyramid of coded grids: version 3 of the `.dfm` file."""
