"""What networks say of images: the features that sets of images are compared by."""
