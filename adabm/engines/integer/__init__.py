"""Quantized networks in 8-bit integers, exact up to the rounding of sums, adaptive at run time."""
