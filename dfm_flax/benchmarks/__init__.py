"""Measurements behind the figures in the docs, each a module that can be run."""
