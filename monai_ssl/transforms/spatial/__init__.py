"""Flips, affine and elastic deformation, shuffling: what moves voxels."""
