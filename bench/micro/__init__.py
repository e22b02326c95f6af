"""How long the parts of the hot path take, one at a time: `make bench-micro`."""
