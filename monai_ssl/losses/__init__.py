"""Objectives: small functions and modules without hidden state, in float32 under autocast."""

from monai_ssl.losses.cosine import symmetric_cosine

__all__ = ["symmetric_cosine"]
