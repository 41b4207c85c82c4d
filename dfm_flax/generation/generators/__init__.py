"""Image generators: each file here is one, by the name of the file."""
