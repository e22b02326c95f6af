//! Datagrams in batches: one `recvmmsg` takes up to [`BATCH`] pieces. A piece is a datagram, or
//! with `UDP_GRO` a bundle of datagrams of one sender that all have one length but the last.

use std::net::SocketAddr;
use std::os::fd::RawFd;

use super::arena::NOTHING;
use super::batch;
use super::config::Kind;
use super::socket::{peer_address, zeroed};

/// Pieces taken by one system call. More would save little, and each may be 64 KiB that
/// become many times as much when every byte is a bad line.
const BATCH: usize = 16;
/// No datagram and no bundle of the Internet is longer.
const INTERNET_BYTES: usize = 65_536;
/// The longest datagram of the same machine that is taken whole: more than a sender can send
/// that has not asked for a larger buffer than Linux gives. The batch is the smaller for it.
pub const UNIX_BYTES: usize = 4 * INTERNET_BYTES;
/// No bundle holds more datagrams (`UDP_MAX_SEGMENTS` in `linux/udp.h`).
const BUNDLE: usize = 128;
/// The most that one batch comes to, each datagram ended by a newline.
pub const DATAGRAMS_BYTES: usize = BATCH * (INTERNET_BYTES + BUNDLE) + TABLE_BYTES;
/// The table behind them: who sent each, and what was cut.
const TABLE_BYTES: usize =
    BATCH * (BUNDLE * batch::SENT_BYTES + batch::CUT_BYTES) + batch::HEAD_BYTES;
/// What may lie in the queue of a Unix socket when it is read to its end: 512 datagrams, as
/// many as `net.unix.max_dgram_qlen` allows where it was raised.
pub const UNIX_QUEUE_BYTES: usize = 512 * UNIX_BYTES;

/// From `linux/udp.h`: the length of the datagrams in a bundle, an `int`.
const UDP_GRO: libc::c_int = 104;

/// Room for one control message with an `int`, aligned as the kernel wants it.
#[derive(Clone, Copy)]
#[repr(C)]
struct Control {
    header: libc::cmsghdr,
    value: libc::c_int,
    padding: libc::c_int,
}

/// Where a datagram ends in what was joined, and who sent it.
pub type Sent = (u32, Option<SocketAddr>);

/// What one `recvmmsg` took, in memory that outlives the process. Only the pages that datagrams
/// really fill become resident.
#[repr(C)]
pub struct DatagramReceipt {
    headers: [libc::mmsghdr; BATCH],
    parts: [libc::iovec; BATCH],
    addresses: [libc::sockaddr_storage; BATCH],
    controls: [Control; BATCH],
    /// The room of one piece.
    room: u64,
    bytes: [u8; BATCH * INTERNET_BYTES],
}

impl DatagramReceipt {
    /// Nothing was received.
    pub fn forget(&mut self) {
        for header in &mut self.headers {
            header.msg_len = NOTHING;
        }
    }

    /// How many pieces were received.
    pub fn count(&self) -> usize {
        self.headers.iter().take_while(|header| header.msg_len != NOTHING).count()
    }

    fn room(&self) -> usize {
        usize::try_from(self.room).unwrap_or(0).clamp(INTERNET_BYTES, UNIX_BYTES)
    }

    /// Takes what is there; returns whether that is anything. [`Self::forget`] comes before.
    pub fn receive(&mut self, socket: RawFd, kind: Kind) -> bool {
        // Who sends from the same machine can attach descriptors: without room for them the
        // kernel closes them.
        let (room, control) = match kind {
            Kind::UnixDatagram => (UNIX_BYTES, 0),
            _ => (INTERNET_BYTES, size_of::<Control>()),
        };
        self.room = room as u64;
        let pieces = self.bytes.chunks_exact_mut(room);
        #[allow(clippy::cast_possible_truncation)]
        let most = pieces.len() as u32;
        for (at, piece) in pieces.enumerate() {
            self.parts[at] =
                libc::iovec { iov_base: piece.as_mut_ptr().cast(), iov_len: piece.len() };
            let header = &mut self.headers[at].msg_hdr;
            *header = zeroed();
            header.msg_iov = &raw mut self.parts[at];
            header.msg_iovlen = 1;
            header.msg_name = (&raw mut self.addresses[at]).cast();
            #[allow(clippy::cast_possible_truncation)]
            let length = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
            header.msg_namelen = length;
            header.msg_control = (&raw mut self.controls[at]).cast();
            header.msg_controllen = control;
        }
        // With MSG_TRUNC the length is that of the datagram, also where the piece is shorter.
        let flags = libc::MSG_DONTWAIT | libc::MSG_TRUNC;
        // SAFETY: the first `most` headers point to an address, a part with its piece, and a
        // control buffer of this value, set above.
        let count = unsafe {
            libc::recvmmsg(socket, self.headers.as_mut_ptr(), most, flags, std::ptr::null_mut())
        };
        // Errors (nothing there, or an ICMP answer to somebody else) mean: nothing this time.
        count > 0
    }

    /// How many bytes and datagrams were received.
    pub fn received(&self) -> (usize, usize) {
        let pieces = 0..self.count();
        let bytes = pieces.clone().map(|at| self.piece(at).len()).sum();
        let datagrams = |at| if self.is_cut(at) { 1 } else { self.datagrams_in(at) };
        (bytes, pieces.map(datagrams).sum())
    }

    /// Puts the whole datagrams of the batch that are taken one behind the other into a buffer of
    /// the joined length, each ended by a newline, and says for each where it ends and who sent
    /// it. Returns their length. `takes` is asked for each, the newline behind it.
    pub fn join(
        &self,
        buffer: &mut [u8],
        senders: &mut Vec<Sent>,
        mut takes: impl FnMut(Option<SocketAddr>, &[u8]) -> bool,
    ) -> usize {
        senders.clear();
        let mut end = 0;
        for at in self.whole() {
            let (piece, sender) = (self.piece(at), peer_address(&self.addresses[at]));
            let mut datagrams = piece.chunks(self.datagram_length(at));
            for _ in 0..self.datagrams_in(at) {
                // A piece without bytes is a datagram as well.
                let datagram = datagrams.next().unwrap_or_default();
                let start = end;
                end += datagram.len();
                buffer[start..end].copy_from_slice(datagram);
                buffer[end] = b'\n';
                if !takes(sender, &buffer[start..=end]) {
                    end = start;
                    continue;
                }
                // A batch is a few MiB at most.
                #[allow(clippy::cast_possible_truncation)]
                senders.push((end as u32, sender));
                end += 1;
            }
        }
        end
    }

    /// The datagrams of the batch that were too long to be taken whole: the beginning and the
    /// whole length of each.
    pub fn cut(&self) -> impl Iterator<Item = (&[u8], u64)> {
        (0..self.count())
            .filter(|at| self.is_cut(*at))
            .map(|at| (self.piece(at), u64::from(self.headers[at].msg_len)))
    }

    fn whole(&self) -> impl Iterator<Item = usize> {
        (0..self.count()).filter(|at| !self.is_cut(*at))
    }

    fn is_cut(&self, at: usize) -> bool {
        self.headers[at].msg_hdr.msg_flags & libc::MSG_TRUNC != 0
    }

    fn piece(&self, at: usize) -> &[u8] {
        let (room, length) = (self.room(), self.headers[at].msg_len as usize);
        let start = at * room;
        &self.bytes[start..start + length.min(room)]
    }

    /// How many datagrams a piece holds; an empty one is one.
    fn datagrams_in(&self, at: usize) -> usize {
        self.piece(at).len().div_ceil(self.datagram_length(at)).max(1)
    }

    /// The length of the datagrams in a piece, but for the last, which may be shorter; not 0.
    fn datagram_length(&self, at: usize) -> usize {
        let Control { header, value, .. } = self.controls[at];
        let is_bundle = self.headers[at].msg_hdr.msg_controllen > 0
            && header.cmsg_level == libc::SOL_UDP
            && header.cmsg_type == UDP_GRO;
        let length = usize::try_from(value).unwrap_or(0);
        if is_bundle && length > 0 { length } else { self.piece(at).len().max(1) }
    }
}

#[cfg(test)]
impl DatagramReceipt {
    /// One that nothing was received with, in memory of its own.
    pub fn boxed() -> Box<Self> {
        // SAFETY: all its fields are numbers and pointers, for which zero is valid.
        let mut receipt = unsafe { Box::<Self>::new_zeroed().assume_init() };
        receipt.forget();
        receipt
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::UdpSocket;
    use std::os::fd::AsRawFd;
    use std::os::unix::net::{UnixDatagram, UnixStream};

    use super::*;
    use crate::receive::inbox;

    const UDP_SEGMENT: libc::c_int = 103;

    fn set(socket: &impl AsRawFd, level: libc::c_int, option: libc::c_int, value: libc::c_int) {
        #[allow(clippy::cast_possible_truncation)]
        let length = size_of::<libc::c_int>() as libc::socklen_t;
        let place = (&raw const value).cast();
        // SAFETY: the value is an int, as long as `length` says.
        let status = unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, place, length) };
        assert_eq!(status, 0, "{}", std::io::Error::last_os_error());
    }

    fn join(buffers: &DatagramReceipt) -> (Vec<u8>, Vec<Sent>) {
        let (bytes, datagrams) = buffers.received();
        let mut joined = vec![0; bytes + datagrams];
        let mut senders = vec![(0, None)];
        let end = buffers.join(&mut joined, &mut senders, |_, _| true);
        joined.truncate(end);
        (joined, senders)
    }

    /// A bundle becomes the datagrams that were sent, each with its sender; so does what was
    /// sent alone, and what is empty.
    #[test]
    fn bundles_are_taken_apart() {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        set(&receiver, libc::SOL_UDP, UDP_GRO, 1);
        let [alone, bundler] = [0; 2].map(|_| UdpSocket::bind("127.0.0.1:0").unwrap());
        set(&bundler, libc::SOL_UDP, UDP_SEGMENT, 4);
        let place = receiver.local_addr().unwrap();
        alone.send_to(b"first", place).unwrap();
        bundler.send_to(b"aaaabbbbcccc", place).unwrap();
        bundler.send_to(b"ddddeeeeff", place).unwrap();
        alone.send_to(b"", place).unwrap();
        alone.send_to(b"last", place).unwrap();

        let mut buffers = DatagramReceipt::boxed();
        assert!(buffers.receive(receiver.as_raw_fd(), Kind::Udp));
        assert!(buffers.count() < 9, "nothing was bundled");
        let (joined, senders) = join(&buffers);
        assert_eq!(joined, b"first\naaaa\nbbbb\ncccc\ndddd\neeee\nff\n\nlast\n");
        let ends: Vec<u32> = senders.iter().map(|(end, _)| *end).collect();
        assert_eq!(ends, [5, 10, 15, 20, 25, 30, 33, 34, 39]);
        let (first, second) = (alone.local_addr().unwrap(), bundler.local_addr().unwrap());
        let from: Vec<_> = senders.iter().map(|(_, sender)| sender.unwrap()).collect();
        assert_eq!(from[0], first);
        assert_eq!(from[1..7], [second; 6]);
        assert_eq!(from[7..], [first; 2]);
        buffers.forget();
        assert!(!buffers.receive(receiver.as_raw_fd(), Kind::Udp));
    }

    /// Descriptors that come with a datagram are not kept: nobody would close them.
    #[test]
    fn attached_descriptors_are_closed() {
        let (sender, receiver) = UnixDatagram::pair().unwrap();
        let (attached, mut far) = UnixStream::pair().unwrap();
        far.set_nonblocking(true).unwrap();
        let mut receipt = zeroed();
        let descriptors = [attached.as_raw_fd()];
        inbox::send(sender.as_raw_fd(), 1, b"text", &descriptors, &raw mut receipt).unwrap();
        drop(attached);
        assert!(DatagramReceipt::boxed().receive(receiver.as_raw_fd(), Kind::UnixDatagram));
        assert_eq!(far.read(&mut [0]).unwrap(), 0);
    }

    /// What is longer than its room is no datagram of the batch but stands beside it.
    #[test]
    fn a_datagram_that_is_too_long_is_told_apart() {
        let (sender, receiver) = UnixDatagram::pair().unwrap();
        set(&sender, libc::SOL_SOCKET, libc::SO_SNDBUF, 200_000);
        let long = vec![b'x'; UNIX_BYTES + 7];
        sender.send(b"before").unwrap();
        sender.send(&long).unwrap();
        sender.send(&long[..UNIX_BYTES]).unwrap();

        let mut buffers = DatagramReceipt::boxed();
        assert!(buffers.receive(receiver.as_raw_fd(), Kind::UnixDatagram));
        let (joined, senders) = join(&buffers);
        assert_eq!(joined, [b"before\n", &long[..UNIX_BYTES], b"\n"].concat());
        assert_eq!(senders.len(), 2);
        let cut: Vec<_> = buffers.cut().collect();
        assert_eq!(cut, [(&long[..UNIX_BYTES], UNIX_BYTES as u64 + 7)]);
    }
}
