"""The stages between decode and journal: what there is, and which of them run where."""
