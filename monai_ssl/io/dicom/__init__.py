"""Read DICOM: which files form a series, and the volumes that they hold."""
