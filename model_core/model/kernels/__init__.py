"""Kernels of the scan and the convolution, for CPU and GPU, each with its definition in PyTorch."""
