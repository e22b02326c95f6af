//! One hostile client: where it is in its script.

use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use rustix::net::sockopt::set_socket_linger;

use super::crowd::Deeds;
use super::kind::Script;

/// The most of the script that one client sends before the next one's turn.
const TURN_BYTES: usize = 256 * 1024;

/// A client with its connection, if it has one now.
pub struct Client {
    stream: Option<TcpStream>,
    established: bool,
    writable: bool,
    /// Bytes sent of the opening and, over and over, of the body.
    sent: usize,
    next_write: Instant,
}

impl Client {
    /// A client that has not connected yet.
    pub fn new() -> Self {
        let next_write = Instant::now();
        Self { stream: None, established: false, writable: false, sent: 0, next_write }
    }

    /// Is there a connection, or an attempt at one?
    pub fn is_connected(&self) -> bool {
        self.stream.is_some()
    }

    /// Begins to connect.
    pub fn connect(
        &mut self,
        address: SocketAddr,
        registry: &Registry,
        token: Token,
        deeds: &mut Deeds,
    ) -> io::Result<()> {
        deeds.attempts += 1;
        // Out of ports or descriptors: another attempt in the next turn.
        let Ok(mut stream) = TcpStream::connect(address) else {
            deeds.refused += 1;
            return Ok(());
        };
        registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        *self = Self { stream: Some(stream), ..Self::new() };
        Ok(())
    }

    /// Takes note of what the kernel says of the connection.
    pub fn note(&mut self, readable: bool, writable: bool, deeds: &mut Deeds) {
        let Some(stream) = &mut self.stream else { return };
        if let Ok(Some(error)) = stream.take_error() {
            self.end(&error, deeds);
            return;
        }
        if writable {
            self.writable = true;
            deeds.opened += u64::from(!self.established);
            self.established = true;
        }
        if readable {
            let mut forgotten = [0; 4096];
            loop {
                match stream.read(&mut forgotten) {
                    Ok(0) => {
                        deeds.closed_by_peer += 1;
                        self.stream = None;
                        return;
                    }
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                    Err(error) => return self.end(&error, deeds),
                }
            }
        }
    }

    /// Goes on with the script as far as the clock and the kernel let it; true if it could go on
    /// at once.
    pub fn act(&mut self, script: &Script, now: Instant, deeds: &mut Deeds) -> bool {
        let mut left = TURN_BYTES;
        while self.writable && left > 0 && self.next_write <= now {
            let Some(stream) = &mut self.stream else { return false };
            let Some(bytes) = remaining(script, self.sent) else {
                if script.hangs_up {
                    // Reset, not closed, or all local ports would soon be in TIME_WAIT.
                    let _ = set_socket_linger(&*stream, Some(Duration::ZERO));
                    self.stream = None;
                    deeds.hung_up += 1;
                }
                return false;
            };
            match stream.write(&bytes[..bytes.len().min(left)]) {
                Ok(written) => {
                    self.sent += written;
                    left -= written;
                    deeds.bytes += written as u64;
                    if let Some(pause) = script.pause {
                        self.next_write = now + pause;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.writable = false,
                Err(error) => self.end(&error, deeds),
            }
        }
        left == 0
    }

    fn end(&mut self, error: &io::Error, deeds: &mut Deeds) {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => deeds.refused += 1,
            io::ErrorKind::BrokenPipe => deeds.closed_by_peer += 1,
            _ => deeds.resets += 1,
        }
        self.stream = None;
    }
}

/// What comes behind so many bytes: the rest of the opening, or of the body once more.
fn remaining(script: &Script, sent: usize) -> Option<&[u8]> {
    if sent < script.opening.len() {
        return Some(&script.opening[sent..]);
    }
    let behind = (sent - script.opening.len()).checked_rem(script.body.len())?;
    Some(&script.body[behind..])
}

#[cfg(test)]
mod tests {
    use super::{Script, remaining};

    #[test]
    fn the_opening_comes_once_and_the_body_again_and_again() {
        let mut script =
            Script { opening: b"ab".to_vec(), body: b"xyz".to_vec(), pause: None, hangs_up: false };
        assert_eq!(remaining(&script, 1), Some(&b"b"[..]));
        assert_eq!(remaining(&script, 2), Some(&b"xyz"[..]));
        assert_eq!(remaining(&script, 6), Some(&b"yz"[..]));
        script.body.clear();
        assert_eq!(remaining(&script, 2), None);
    }
}
