"""What a machine is fitted to: images, positions and data sets of images."""
