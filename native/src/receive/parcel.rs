//! A connection on its way to another worker: what travels beside its descriptor.
//!
//! ```text
//! listener u64 (index in the region) · peer text · state u64 (0: just accepted, 1: open, nothing was
//! read, the record ends here; 2: established; 3: kept, its place u64 follows, and the memory of the
//! slot tells the rest) · identity text · framing state bytes · last received u64 (ns) · takes turns
//! u64 · load: counted u64, since u64 (ns), per second u64 · times: last read u64 (ns), beginning
//! of the incomplete frame u64 (ns, 0: there is none)
//! ```
//! Numbers are little-endian; text and bytes have their length as u64 before them.

use std::net::SocketAddr;

use super::connections::{Connection, Times};
use super::load::SmoothedLoad;
use crate::frame::Framer;

const ACCEPTED: u64 = 0;
const OPEN: u64 = 1;
const ESTABLISHED: u64 = 2;
const KEPT: u64 = 3;

/// What was received of a connection.
pub(super) struct Parcel {
    /// Index of its listener in the region.
    pub(super) listener: usize,
    /// The other end.
    pub(super) peer: Option<SocketAddr>,
    /// What else there is to know.
    pub(super) cargo: Cargo,
}

/// How far a connection is that travels.
pub(super) enum Cargo {
    /// It was just accepted.
    Accepted,
    /// It was counted as opened; nothing was read of it.
    Open,
    /// It goes on where it was.
    Established(Box<Established>),
    /// It had this place in the table of the slot whose worker died.
    Kept(usize),
}

/// The state of a connection between two reads.
pub(super) struct Established {
    pub(super) identity: Option<String>,
    pub(super) framer: Framer,
    pub(super) received_ns: u64,
    pub(super) takes_turns: bool,
    pub(super) load: SmoothedLoad,
    pub(super) times: Times,
}

fn write_number(number: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(&number.to_le_bytes());
}

/// Appends what `write` appends, with its length before it.
fn write_bytes(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    write_number(0, out);
    write(out);
    let length = (out.len() - at - 8) as u64;
    out[at..at + 8].copy_from_slice(&length.to_le_bytes());
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    write_bytes(out, |out| out.extend_from_slice(text.as_bytes()));
}

/// Appends a connection from which nothing was read: just accepted, or already counted as opened.
pub(super) fn write_unread(
    listener: usize,
    peer: Option<SocketAddr>,
    is_open: bool,
    out: &mut Vec<u8>,
) {
    write_number(listener as u64, out);
    write_text(&peer.map(|peer| peer.to_string()).unwrap_or_default(), out);
    write_number(if is_open { OPEN } else { ACCEPTED }, out);
}

/// Appends a connection between two reads.
pub(super) fn write_established(listener: usize, connection: &Connection, out: &mut Vec<u8>) {
    let Connection { sender, framer, received_ns, takes_turns, load, times, .. } = connection;
    write_number(listener as u64, out);
    write_text(&sender.peer.map(|peer| peer.to_string()).unwrap_or_default(), out);
    write_number(ESTABLISHED, out);
    write_text(sender.identity.as_deref().unwrap_or_default(), out);
    write_bytes(out, |out| framer.save(out));
    write_number(*received_ns, out);
    write_number(u64::from(*takes_turns), out);
    write_number(load.counted, out);
    write_number(load.since_ns, out);
    write_number(load.per_second, out);
    write_number(times.active_ns, out);
    write_number(times.frame_ns.unwrap_or(0), out);
}

/// Appends a connection of which everything stands at a place of the table of the slot.
pub(super) fn write_kept(place: usize, out: &mut Vec<u8>) {
    write_number(0, out);
    write_text("", out);
    write_number(KEPT, out);
    write_number(place as u64, out);
}

/// Takes the next record off; none when it is no such record.
pub(super) fn read(bytes: &mut &[u8]) -> Option<Parcel> {
    let listener = usize::try_from(read_number(bytes)?).ok()?;
    let peer = read_text(bytes)?;
    let peer = if peer.is_empty() { None } else { Some(peer.parse().ok()?) };
    let cargo = match read_number(bytes)? {
        ACCEPTED => Cargo::Accepted,
        OPEN => Cargo::Open,
        ESTABLISHED => Cargo::Established(Box::new(read_established(bytes)?)),
        KEPT => Cargo::Kept(usize::try_from(read_number(bytes)?).ok()?),
        _ => return None,
    };
    Some(Parcel { listener, peer, cargo })
}

fn read_established(bytes: &mut &[u8]) -> Option<Established> {
    let identity = read_text(bytes)?;
    Some(Established {
        identity: (!identity.is_empty()).then(|| identity.to_owned()),
        framer: Framer::restore(read_bytes(bytes)?)?,
        received_ns: read_number(bytes)?,
        takes_turns: read_number(bytes)? != 0,
        load: SmoothedLoad {
            counted: read_number(bytes)?,
            since_ns: read_number(bytes)?,
            per_second: read_number(bytes)?,
        },
        times: Times {
            active_ns: read_number(bytes)?,
            frame_ns: Some(read_number(bytes)?).filter(|since_ns| *since_ns > 0),
            resume_ns: 0,
        },
    })
}

fn read_number(bytes: &mut &[u8]) -> Option<u64> {
    let (number, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(u64::from_le_bytes(*number))
}

fn read_bytes<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(read_number(bytes)?).ok()?;
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}

fn read_text<'a>(bytes: &mut &'a [u8]) -> Option<&'a str> {
    std::str::from_utf8(read_bytes(bytes)?).ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::frame::Frames;
    use crate::receive::Sender;

    fn connection(sender: Sender) -> Connection {
        Connection::new(UnixStream::pair().unwrap().0.into(), 0, sender)
    }

    /// What was written is read, one record after the other; one that is cut short is none.
    #[test]
    fn records_are_read_as_they_were_written() {
        let peer = "[2001:db8::1]:514".parse().ok();
        let mut sent = connection(Sender { peer, identity: Some(Arc::from("\"uid\":0")) });
        sent.framer.feed(b"whole\npart", 100, &mut Frames::default());
        (sent.received_ns, sent.takes_turns) = (7, true);
        (sent.times.active_ns, sent.times.frame_ns) = (9, Some(8));
        let mut bytes = Vec::new();
        write_unread(3, None, false, &mut bytes);
        write_kept(7, &mut bytes);
        write_established(4, &sent, &mut bytes);

        let mut rest = &bytes[..];
        let accepted = read(&mut rest).unwrap();
        assert_eq!((accepted.listener, accepted.peer), (3, None));
        assert!(matches!(accepted.cargo, Cargo::Accepted));
        assert!(matches!(read(&mut rest).unwrap().cargo, Cargo::Kept(7)));
        let record = rest;
        let found = read(&mut rest).unwrap();
        assert!(rest.is_empty());
        assert_eq!((found.listener, found.peer), (4, peer));
        let Cargo::Established(state) = found.cargo else { panic!("it was established") };
        assert_eq!(state.identity.as_deref(), Some("\"uid\":0"));
        assert_eq!((state.received_ns, state.takes_turns, state.load), (7, true, sent.load));
        assert_eq!((state.times.active_ns, state.times.frame_ns), (9, Some(8)));
        for cut in 0..record.len() {
            assert!(read(&mut &record[..cut]).is_none());
        }
    }

    const LIMIT: usize = 16;

    fn frames(stream: &[u8], cuts: &[usize], moves: bool) -> Vec<Vec<u8>> {
        let (mut framer, mut read_frames, mut found) =
            (Framer::default(), Frames::default(), vec![]);
        let mut note = |frames: &Frames, chunk: &[u8]| {
            found.extend(frames.head(LIMIT).map(|frame| format!("{frame:?}").into_bytes()));
            let lines = frames.lines(chunk, LIMIT);
            found.extend(lines.map(|(_, frame, _)| format!("{frame:?}").into_bytes()));
        };
        for cut in cuts.windows(2) {
            let chunk = &stream[cut[0]..cut[1]];
            framer.feed(chunk, LIMIT, &mut read_frames);
            note(&read_frames, chunk);
            if moves {
                let mut connection = connection(Sender::default());
                connection.framer = framer;
                let mut bytes = Vec::new();
                write_established(0, &connection, &mut bytes);
                let Cargo::Established(state) = read(&mut &bytes[..]).unwrap().cargo else {
                    panic!("it was established")
                };
                framer = state.framer;
            }
        }
        framer.finish(&mut read_frames);
        note(&read_frames, b"");
        found
    }

    proptest! {
        /// Wherever a stream is cut and moved, its frames are those of one that stays.
        #[test]
        fn moves_do_not_change_the_frames(
            stream in prop::collection::vec(prop::sample::select(b"a1{< \r\n".to_vec()), 0..200),
            cuts in prop::collection::vec(0usize..200, 0..20),
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(stream.len())).collect();
            cuts.extend([0, stream.len()]);
            cuts.sort_unstable();
            prop_assert_eq!(frames(&stream, &cuts, true), frames(&stream, &cuts, false));
        }
    }
}
