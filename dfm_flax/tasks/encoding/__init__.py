"""Parts of compression to `.dfm` files: what to train, how, and how coarsely to round it."""
