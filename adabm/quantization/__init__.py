"""What a quantized network is: quantizers, observers, bit mapping and rule, complexity, layers, model."""
