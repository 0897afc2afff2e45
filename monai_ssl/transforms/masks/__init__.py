"""In-painting, cutout and masks: what hides parts of an image."""
