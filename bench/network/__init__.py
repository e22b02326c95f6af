"""Measurements of the network edge: syslog, datagrams, TLS, balance, hostile clients, reloads."""
