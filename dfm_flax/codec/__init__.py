"""Images as `.dfm` files: a machine's weights quantized, entropy coded and put in a container.

docs/codec.md describes the file byte by byte.
"""
