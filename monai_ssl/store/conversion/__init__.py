"""Conversion of sources into arrays of a store, in processes of one machine or on a Dask cluster."""
