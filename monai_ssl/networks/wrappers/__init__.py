"""Encoders around encoders, and what turns crops and patches into vectors by one of them."""
