"""Uploaded stores: read-only shards on object storage, of which single scans are fetched into a local cache."""
