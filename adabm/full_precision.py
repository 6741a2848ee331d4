"""Full precision, which all quantization is compared with: its bits, and what plans and tables call it."""

FULL_PRECISION_BITS = 32
FULL_PRECISION = "fp32"  # among methods
FULL_PRECISION_LABEL = "Full precision"  # where methods have labels
FULL_PRECISION_SETTING = "FP32"  # among settings such as W4A4, and in what is printed
