"""The role that takes events in: one process per core, started by the supervisor."""
