"""Quantized models in files: written, read again, and refused where what comes back would be another model."""
