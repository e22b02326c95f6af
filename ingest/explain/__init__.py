"""Run events through a pipeline stage by stage, and say what each stage did."""
