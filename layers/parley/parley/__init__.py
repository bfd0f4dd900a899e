"""Parley: one conversation core behind five chat APIs."""
