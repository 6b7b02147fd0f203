"""Alleles and the change of the prediction that they make; no module yet."""
