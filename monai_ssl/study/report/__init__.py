"""The report of a study: its page, charts and tables."""
