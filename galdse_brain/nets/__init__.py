"""Networks: the denoiser and the guidance."""
