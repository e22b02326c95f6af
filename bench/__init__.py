"""End-to-end measurements of the real server; `make bench` runs them."""
