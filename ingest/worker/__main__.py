"""`python -m ingest.worker`: started by the supervisor, never by people."""

from ingest.worker.holding import start_holder

if __name__ == "__main__":
    holder = start_holder()
    # Only now: the holder keeps a copy of what is in memory before.
    from ingest.worker.role import main

    main(holder)
