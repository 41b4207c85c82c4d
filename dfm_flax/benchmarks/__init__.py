"""Measurements behind the numbers in the docs, each a module that can be run."""
