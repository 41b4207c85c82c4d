"""Models to compare Deep Fourier Machines with."""
