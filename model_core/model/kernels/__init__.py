"""Kernels of the scan and the convolution, for CPU and GPU, each beside its definition in PyTorch."""
