"""Analysis of a trained run: CKA, Grad-CAM, embedding, probes, localization and batch norm statistics on one page."""
