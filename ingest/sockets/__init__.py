"""The sockets that the supervisor binds and the workers inherit."""

from ingest.sockets.groups import SocketGroup, bind_group, listen_on

__all__ = ["SocketGroup", "bind_group", "listen_on"]
