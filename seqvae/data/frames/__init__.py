"""Sequences of frames of numbers: images as rows, time series."""
