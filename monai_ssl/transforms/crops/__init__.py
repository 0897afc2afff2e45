"""Windows of a scan: where they lie, how they are cut and resized."""
