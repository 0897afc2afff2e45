"""Augmentations and normalizations of intensities."""
