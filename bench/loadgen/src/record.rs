//! The sender's own record: for each event that the kernel took at least in part, a hash of it.
//!
//! Chunks of: the number of the connection (u32), how many events (u32), and the XXH3-64 of each
//! without what ends its line (u64), little-endian. The chunks of a connection follow each other
//! in the order of its sequence numbers, which begin at zero.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read as _, Write as _};
use std::path::Path;

use xxhash_rust::xxh3::xxh3_64;

const BUFFER_BYTES: usize = 1024 * 1024;

/// The hash under which an event is known.
pub fn hash(line: &[u8]) -> u64 {
    xxh3_64(line)
}

/// A record that is being written.
pub struct Recorder {
    out: BufWriter<File>,
    hashes: Vec<u64>,
}

impl Recorder {
    /// An empty record in a new file.
    pub fn create(path: &Path) -> io::Result<Self> {
        let out = BufWriter::with_capacity(BUFFER_BYTES, File::create(path)?);
        Ok(Self { out, hashes: Vec::new() })
    }

    /// Notes the next events of a connection.
    pub fn note<'a>(
        &mut self,
        connection: usize,
        lines: impl Iterator<Item = &'a [u8]>,
    ) -> io::Result<()> {
        self.hashes.clear();
        self.hashes.extend(lines.map(hash));
        for number in [connection, self.hashes.len()] {
            let number = u32::try_from(number).map_err(io::Error::other)?;
            self.out.write_all(&number.to_le_bytes())?;
        }
        for hash in &self.hashes {
            self.out.write_all(&hash.to_le_bytes())?;
        }
        Ok(())
    }

    /// Writes what is still held back.
    pub fn finish(mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Reads a record: of each connection, the hashes of its events.
pub fn read(path: &Path) -> io::Result<Vec<Vec<u64>>> {
    let mut input = BufReader::with_capacity(BUFFER_BYTES, File::open(path)?);
    let mut connections: Vec<Vec<u64>> = Vec::new();
    let mut head = [0; 8];
    let mut body = Vec::new();
    loop {
        match input.read_exact(&mut head) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(connections),
            done => done?,
        }
        let [connection, count] = [0, 4].map(|at| {
            u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]) as usize
        });
        body.resize(count * size_of::<u64>(), 0);
        input.read_exact(&mut body)?;
        if connections.len() <= connection {
            connections.resize(connection + 1, Vec::new());
        }
        let hashes = body.as_chunks().0.iter().map(|bytes| u64::from_le_bytes(*bytes));
        connections[connection].extend(hashes);
    }
}

#[cfg(test)]
mod tests {
    use super::{Recorder, hash, read};

    #[test]
    fn what_was_noted_is_read_back_by_connection() {
        let path = std::env::temp_dir().join(format!("loadgen-record-{}", std::process::id()));
        let mut recorder = Recorder::create(&path).unwrap();
        for (connection, line) in [(2, b"a"), (0, b"b"), (2, b"c")] {
            recorder.note(connection, std::iter::once(&line[..])).unwrap();
        }
        recorder.finish().unwrap();
        let found = read(&path).unwrap();
        std::fs::remove_file(path).unwrap();
        assert_eq!(found, [vec![hash(b"b")], vec![], vec![hash(b"a"), hash(b"c")]]);
    }
}
