"""What users would pick instead, on the same job beside us, in rounds in which each runs once."""
