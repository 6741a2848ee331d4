"""Where a number comes from: fingerprint, provenance, verification."""
