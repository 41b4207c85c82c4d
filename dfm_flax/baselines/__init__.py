"""What Deep Fourier Machines are compared with: a network of sines, and other codecs."""
