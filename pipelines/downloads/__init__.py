"""Obtain data sets and weights of other authors."""
