"""Measurements beside the study, run by hand; their numbers stand in docs/."""
