"""Pairs of model and projector of several architectures, with random weights, small enough to be written by a test."""
