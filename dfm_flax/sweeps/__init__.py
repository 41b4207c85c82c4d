"""Sweeps: one config with a grid, a run for each cell of it, one table of them all."""
