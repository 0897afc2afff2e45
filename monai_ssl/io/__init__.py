"""Read any file of an image, of whatever format: the readers, and what is in a folder."""

from monai_ssl.io.discovery import Source, discover
from monai_ssl.io.readers import read
from monai_ssl.io.volume import ReadError, Volume

__all__ = ["ReadError", "Source", "Volume", "discover", "read"]
