//! One byte stream to the server, over TCP, TLS or a Unix socket, that never blocks.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with, sockopt};

use crate::arguments::Target;
use crate::tls::TlsStream;

/// The longest that closing a stream waits for the server to take what is left.
const FINISH: Duration = Duration::from_secs(30);

/// How senders bound what is on its way. What Linux takes where nobody chose; a machine may have
/// another default, such as BBR, whose timers cost the receiver of a loopback a tenth of its work.
const CONGESTION_CONTROL: &str = "cubic";

/// Opens a TCP connection; blocks for it.
pub fn connect(address: SocketAddr) -> io::Result<std::net::TcpStream> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    // Before the handshake: what another has begun to time stays timed. Without it, the default
    // of the machine has to do.
    let _ = sockopt::set_tcp_congestion(&socket, CONGESTION_CONTROL);
    rustix::net::connect(&socket, &address)?;
    Ok(socket.into())
}

/// A connected stream.
pub enum Stream {
    /// Plain TCP.
    Tcp(TcpStream),
    /// TCP with TLS, the handshake done.
    Tls(Box<TlsStream>),
    /// A Unix stream socket.
    Unix(UnixStream),
}

impl Stream {
    /// Connects and, for TLS, shakes hands; blocks for it.
    pub fn connect(target: &Target) -> io::Result<Self> {
        match target {
            Target::Tcp(address) => {
                let stream = connect(*address)?;
                stream.set_nonblocking(true)?;
                Ok(Self::Tcp(TcpStream::from_std(stream)))
            }
            Target::Tls(address, client) => {
                Ok(Self::Tls(Box::new(TlsStream::connect(*address, client)?)))
            }
            Target::Unix(path) => {
                let stream = std::os::unix::net::UnixStream::connect(path)?;
                stream.set_nonblocking(true)?;
                Ok(Self::Unix(UnixStream::from_std(stream)))
            }
            Target::Udp(_) | Target::UnixDatagram(_) => {
                Err(io::Error::new(io::ErrorKind::InvalidInput, "datagrams are no stream"))
            }
        }
    }

    /// Asks to be told when it is writable again, or has something to read.
    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        match self {
            Self::Tcp(stream) => registry.register(stream, token, interest),
            Self::Tls(stream) => registry.register(stream.socket_mut(), token, interest),
            Self::Unix(stream) => registry.register(stream, token, interest),
        }
    }

    /// Hands bytes over and returns how many were taken.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
        }
    }

    /// Reads and forgets what the server says; false once it has closed.
    pub fn is_open(&mut self) -> io::Result<bool> {
        let mut forgotten = [0; 4096];
        loop {
            let read = match self {
                Self::Tcp(stream) => stream.read(&mut forgotten),
                Self::Tls(stream) => stream.read(&mut forgotten),
                Self::Unix(stream) => stream.read(&mut forgotten),
            };
            match read {
                Ok(0) => return Ok(false),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Sends what is still held back and closes the sending side; blocks for it.
    pub fn finish(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Self::Tls(stream) => stream.finish(FINISH),
            Self::Unix(stream) => stream.shutdown(Shutdown::Write),
        }
    }
}
