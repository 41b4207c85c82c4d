"""Images as `.dfm` files: a machine's weights quantized, entropy coded and put in a container.

docs/reference/file_format.md describes the file byte by byte.
"""
