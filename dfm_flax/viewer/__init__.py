"""Machines and generators as HTML pages that draw them in a browser."""
