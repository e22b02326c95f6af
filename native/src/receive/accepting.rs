//! Connections: how they come in, and how they end.

use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::Ordering;

use super::connections::Connection;
use super::receiver::Receiver;
use super::socket::{self, Accepted};
use super::{Intake, Origin, Read, Sender};
use crate::clock;
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
                Accepted::Connection(socket, peer) => {
                    if let Some(socket) = self.pass_on_accepted(socket, listener, peer) {
                        self.open(socket, listener, peer);
                    }
                }
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

    /// Begins with a connection that was accepted here, or elsewhere and passed on.
    pub(super) fn open(&mut self, socket: OwnedFd, listener: usize, peer: Option<SocketAddr>) {
        let descriptor = socket.as_raw_fd();
        let sender = Sender { peer, identity: None };
        let place = self.connections.add(Connection::new(socket, listener, sender));
        if self.epoll.add(descriptor, place as u64).is_err() {
            self.connections.take(place);
            self.count_accept_error();
            return;
        }
        let index = self.listeners[listener].config.index;
        add(self.region.listener(self.worker, index, cells::CONNECTIONS_OPENED, 0), 1);
        self.publish_connections();
    }

    pub(super) fn publish_connections(&self) {
        self.region
            .worker(self.worker, cells::CONNECTIONS, 0)
            .store(self.connections.count() as u64, Ordering::Relaxed);
    }

    /// Closes a connection; what is left of its last line is a line.
    pub(super) fn close(&mut self, place: usize, intake: &mut impl Intake) {
        let Some(mut connection) = self.connections.take(place) else { return };
        connection.framer.finish(&mut self.frames);
        connection.receive_at(clock::now_ns());
        let config = &self.listeners[connection.listener].config;
        if self.frames.count() > 0 {
            intake.take(&Read {
                listener: config.index,
                line_limit: config.limits.line_bytes,
                chunk: &[],
                frames: &self.frames,
                origin: Origin::Connection(&connection.sender),
                received_ns: connection.received_ns,
                mark: self.arena.received(),
            });
        }
        add(self.region.listener(self.worker, config.index, cells::CONNECTIONS_CLOSED, 0), 1);
        // Dropping the socket closes it, which also takes it out of the epoll set: nobody
        // else holds a copy of an accepted connection.
        drop(connection);
        self.publish_connections();
        // A failure here is met again, and reported, by the next tick.
        let _ = self.resume_accepting();
    }
}
