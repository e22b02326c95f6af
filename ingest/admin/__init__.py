"""The admin role: metrics, health and status over HTTP.

It reads the shared region and nothing else; ingestion goes on without it.
"""
