"""Networks of MONAI as encoders: which modules encode, which decode, and their weights by MONAI's own names."""
