"""Sample scans: a cohort of real ones from public packages, and generated phantoms."""
