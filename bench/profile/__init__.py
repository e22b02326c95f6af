"""Where the CPU time of the workers goes: sampled, and summed into the phases of the hot path."""
