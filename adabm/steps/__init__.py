"""What changes a quantized network: one step a file."""
