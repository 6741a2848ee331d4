"""What a quantized network is: quantizers, observers, bit mapping, layers, model, checkpoint."""
