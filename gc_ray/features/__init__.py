"""Volume, Mask and settings in, named features out."""
