"""The analysis of each question of the study."""
