//! Connections: how they come in, and how they end.

use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::Ordering;

use super::config::Kind;
use super::connections::Connection;
use super::opening::unix_identity;
use super::receiver::Receiver;
use super::socket::{self, Accepted};
use super::{Intake, Origin, Read, Sender};
use crate::counters::{add, cells};
use crate::error::Result;

/// Connections accepted per wake-up of their listener.
pub(super) const ACCEPT_BATCH: usize = 64;

impl Receiver {
    pub(super) fn resume_accepting(&mut self) -> Result<()> {
        if self.listening && !self.accepting && !self.connections.is_full() {
            self.watch_sockets(true)?;
            self.accepting = true;
        }
        Ok(())
    }

    /// Leaves those who want to connect in the kernel's queue.
    pub(super) fn pause_accepting(&mut self) {
        if self.accepting {
            self.unwatch_sockets(true);
            self.accepting = false;
        }
    }

    pub(super) fn accept_batch(&mut self, listener: usize) -> usize {
        let Some(socket) = self.listeners[listener].socket.as_ref().map(AsRawFd::as_raw_fd) else {
            return 0;
        };
        for accepted in 0..ACCEPT_BATCH {
            if self.connections.is_full() {
                self.pause_accepting();
                return accepted;
            }
            match socket::accept(socket) {
                Accepted::Connection(socket, peer) => self.open(socket, listener, peer),
                Accepted::Empty => return accepted,
                Accepted::Failed => {
                    self.count_accept_error();
                    return accepted;
                }
                Accepted::Exhausted => {
                    // The next tick tries again; until then the kernel keeps the queue.
                    self.count_accept_error();
                    self.pause_accepting();
                    return accepted;
                }
            }
        }
        ACCEPT_BATCH
    }

    fn count_accept_error(&self) {
        add(self.region.worker(self.worker, cells::ACCEPT_ERRORS, 0), 1);
    }

    fn open(&mut self, socket: OwnedFd, listener: usize, peer: Option<SocketAddr>) {
        let descriptor = socket.as_raw_fd();
        let is_unix = self.listeners[listener].config.kind == Kind::UnixStream;
        let identity = if is_unix { unix_identity(&socket) } else { None };
        let sender = Sender { peer, identity };
        let mut connection = Connection::new(socket, listener, sender);
        self.begin_opening(&mut connection);
        let place = self.connections.add(connection);
        if self.epoll.add(descriptor, place as u64).is_err() {
            self.connections.take(place);
            self.count_accept_error();
            return;
        }
        let index = self.listeners[listener].config.index;
        add(self.region.listener(self.worker, index, cells::CONNECTIONS_OPENED, 0), 1);
        self.publish_connections();
    }

    /// The opening of a connection is over, and its true sender known: its frames are read.
    pub(super) fn established(&mut self, place: usize) {
        if let Some(connection) = self.connections.at(place) {
            connection.opening = None;
        }
    }

    fn publish_connections(&self) {
        self.region
            .worker(self.worker, cells::CONNECTIONS, 0)
            .store(self.connections.count() as u64, Ordering::Relaxed);
    }

    /// Closes a connection; what is left of its last line is a line.
    pub(super) fn close(&mut self, place: usize, intake: &mut impl Intake) {
        let Some(mut connection) = self.connections.take(place) else { return };
        let config = &self.listeners[connection.listener].config;
        if let Some(opening) = connection.opening.take() {
            let bytes = opening.into_frames();
            connection.framer.feed(&bytes, config.limits.line_bytes, &mut self.frames);
        }
        connection.framer.finish(&mut self.frames);
        if self.frames.count() > 0 {
            intake.take(&Read {
                listener: config.index,
                line_limit: config.limits.line_bytes,
                chunk: &[],
                frames: &self.frames,
                origin: Origin::Connection(&connection.sender),
                mark: self.arena.received(),
            });
        }
        self.end(connection);
    }

    /// Closes a connection of which nothing is wanted.
    pub(super) fn abandon(&mut self, place: usize) {
        let Some(connection) = self.connections.take(place) else { return };
        if connection.tls.is_some() {
            socket::discard(&connection.socket, &mut self.ciphertext);
        }
        self.end(connection);
    }

    fn end(&mut self, mut connection: Connection) {
        if let Some(tls) = &mut connection.tls {
            tls.close(&connection.socket);
        }
        let index = self.listeners[connection.listener].config.index;
        add(self.region.listener(self.worker, index, cells::CONNECTIONS_CLOSED, 0), 1);
        // Dropping the socket closes it, which also takes it out of the epoll set: nobody
        // else holds a copy of an accepted connection.
        drop(connection);
        self.publish_connections();
        // A failure here is met again, and reported, by the next tick.
        let _ = self.resume_accepting();
    }
}
