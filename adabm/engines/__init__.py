"""Run a model on pictures, whole or in tiles, and measure the result: PSNR, SSIM, bits, cost."""
