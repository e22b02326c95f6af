//! What is known of each address that sends, over all workers: its open connections, and what
//! it may still send. Made by the supervisor, attached by the workers.
//!
//! ```text
//! 0      magic · layout version · workers · key · key                                5 × u64
//! 4096   2048 sets, each: lock (1 + the worker that holds it, or 0), then 8 entries
//! last   one entry more, for the addresses that found no room in their set
//! entry  tag · events · bytes: u64 each, then a u64 for each worker: its open connections
//! ```
//! The tag is the address, hashed with a key of this boot; it alone says in which set the entry
//! lies. Entries change hands under the lock of their set, and only when no worker has a connection
//! and nothing is owed. A worker may be killed at any instruction: its column of connections and
//! its locks are known by its index, and whoever comes after it clears them.

use std::hash::{DefaultHasher, Hasher};
use std::net::IpAddr;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::bucket;
use super::mapping::Mapping;
use super::region::add;
use crate::error::{Error, Result};

const MAGIC: u64 = u64::from_le_bytes(*b"INGESTSO");
const LAYOUT_VERSION: u64 = 1;
const PAGE: usize = 4096;
const SETS: usize = 2048;
const WAYS: usize = 8;
const TAG: usize = 0;
const EVENTS: usize = 1;
const BYTES: usize = 2;
const CONNECTIONS: usize = 3;
/// Far above any machine.
const MAXIMUM_WORKERS: usize = 4096;
/// A lock is held for well below a microsecond, unless its holder is gone or does not run just then.
const LOCK_SPINS: usize = 100;
/// Another process may have the holder's core for some milliseconds; so often is that waited for.
const LOCK_WAITS: usize = 300;
const LOCK_WAIT: Duration = Duration::from_micros(100);

/// The number of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place(u32);

impl Place {
    #[allow(clippy::cast_possible_truncation)]
    const SHARED: Self = Self((SETS * WAYS) as u32);

    /// Whether others share it, because the address found no room of its own.
    pub fn is_shared(self) -> bool {
        self == Self::SHARED
    }
}

/// What one address may send in a second; none: no limit.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rates {
    /// Events.
    pub events: Option<u64>,
    /// Bytes.
    pub bytes: Option<u64>,
}

impl Rates {
    /// Whether there is a limit at all.
    pub fn is_limited(&self) -> bool {
        self.events.is_some() || self.bytes.is_some()
    }
}

/// What is sent.
#[derive(Debug, Clone, Copy, Default)]
pub struct Load {
    /// Events.
    pub events: u64,
    /// Bytes.
    pub bytes: u64,
}

/// The table of senders.
pub struct Sources {
    mapping: Mapping,
    workers: usize,
    key: [u64; 2],
}

impl Sources {
    /// Makes a table without senders for so many workers.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an impossible number, [`Error::Io`] when memory cannot be had.
    pub fn create(workers: usize) -> Result<Self> {
        if workers == 0 || workers > MAXIMUM_WORKERS {
            return Err(Error::Invalid(format!("{workers} workers")));
        }
        let key = random_key()?;
        let mapping = Mapping::create(c"ingest-sources", length(workers))?;
        for (index, word) in
            [MAGIC, LAYOUT_VERSION, workers as u64, key[0], key[1]].into_iter().enumerate()
        {
            mapping.word(index).store(word, Ordering::Release);
        }
        Ok(Self { mapping, workers, key })
    }

    /// Maps a table that another process made. The descriptor is duplicated.
    ///
    /// # Errors
    /// [`Error::Layout`] when it was made by another layout of this program.
    pub fn attach(descriptor: RawFd) -> Result<Self> {
        let mapping = Mapping::attach(descriptor)?;
        if mapping.length() < PAGE {
            return Err(Error::Layout(format!("{} bytes are too few", mapping.length())));
        }
        let header: [u64; 5] =
            std::array::from_fn(|index| mapping.word(index).load(Ordering::Acquire));
        let workers = usize::try_from(header[2]).unwrap_or(0);
        let is_ours = header[..2] == [MAGIC, LAYOUT_VERSION]
            && (1..=MAXIMUM_WORKERS).contains(&workers)
            && mapping.length() == length(workers);
        if !is_ours {
            return Err(Error::Layout("made by another version of this program".into()));
        }
        Ok(Self { mapping, workers, key: [header[3], header[4]] })
    }

    /// The descriptor to hand to a child process.
    pub fn fileno(&self) -> RawFd {
        self.mapping.fileno()
    }

    /// How many workers it was made for.
    pub fn workers(&self) -> usize {
        self.workers
    }

    /// Counts a connection of an address for a worker; `None` when the address has `limit` of
    /// them already. Where it found no room of its own there is no limit of its own either.
    pub fn enter(
        &self,
        worker: usize,
        address: IpAddr,
        limit: Option<u32>,
        now_ns: u64,
    ) -> Option<Place> {
        self.with_entry(worker, address, now_ns, |place| {
            let is_free = place.is_shared()
                || limit.is_none_or(|limit| self.connections(place) < u64::from(limit));
            if is_free {
                add(self.column(place, worker), 1);
            }
            is_free.then_some(place)
        })
    }

    /// A connection that [`Self::enter`] counted for the worker is closed, or another worker's.
    pub fn leave(&self, worker: usize, place: Place) {
        let column = self.column(place, worker);
        column.store(column.load(Ordering::Relaxed).saturating_sub(1), Ordering::Release);
    }

    /// Open connections of an entry, over all workers.
    pub fn connections(&self, place: Place) -> u64 {
        (0..self.workers).map(|worker| self.column(place, worker).load(Ordering::Acquire)).sum()
    }

    /// What an address sends is taken if its rates allow all of it now; also whether it found
    /// no room of its own.
    pub fn admit(
        &self,
        worker: usize,
        address: IpAddr,
        rates: &Rates,
        load: Load,
        now_ns: u64,
    ) -> (bool, Place) {
        self.with_entry(worker, address, now_ns, |place| {
            let take = |word, rate: Option<u64>, count| {
                rate.is_none_or(|rate| bucket::take(self.at(place, word), rate, count, now_ns))
            };
            if !take(EVENTS, rates.events, load.events) {
                return (false, place);
            }
            let is_admitted = take(BYTES, rates.bytes, load.bytes);
            if let (false, Some(rate)) = (is_admitted, rates.events) {
                bucket::give_back(self.at(place, EVENTS), rate, load.events);
            }
            (is_admitted, place)
        })
    }

    /// What a connection has sent is taken in any case. Returns when the debt will be paid, for
    /// events and for bytes; a time in the past where there is none.
    pub fn charge(&self, place: Place, rates: &Rates, load: Load, now_ns: u64) -> [u64; 2] {
        let charge = |word, rate: Option<u64>, count| {
            rate.map_or(0, |rate| bucket::charge(self.at(place, word), rate, count, now_ns))
        };
        [charge(EVENTS, rates.events, load.events), charge(BYTES, rates.bytes, load.bytes)]
    }

    /// The worker of this index is gone, and with it its connections and its locks.
    ///
    /// # Panics
    /// For a worker that does not exist: a mistake of the program.
    pub fn clear(&self, worker: usize) {
        for set in 0..SETS {
            let lock = self.lock(set);
            // Only of the worker itself: somebody else may hold it, and work.
            let _ =
                lock.compare_exchange(worker as u64 + 1, 0, Ordering::AcqRel, Ordering::Relaxed);
        }
        for place in (0..=Place::SHARED.0).map(Place) {
            self.column(place, worker).store(0, Ordering::Release);
        }
    }

    /// Does something with the entry of an address, which keeps it meanwhile.
    fn with_entry<T>(
        &self,
        worker: usize,
        address: IpAddr,
        now_ns: u64,
        then: impl FnOnce(Place) -> T,
    ) -> T {
        let tag = self.tag(address);
        // The remainder is below the number of sets.
        #[allow(clippy::cast_possible_truncation)]
        let set = (tag % SETS as u64) as usize;
        let lock = self.lock(set);
        if !acquire(lock, worker as u64 + 1) {
            return then(Place::SHARED);
        }
        let result = then(self.find(set, tag, now_ns));
        lock.store(0, Ordering::Release);
        result
    }

    /// The entry of a tag, new if need be; the shared one when the set is full of senders.
    fn find(&self, set: usize, tag: u64, now_ns: u64) -> Place {
        #[allow(clippy::cast_possible_truncation)]
        let places = || (set * WAYS..(set + 1) * WAYS).map(|place| Place(place as u32));
        if let Some(place) =
            places().find(|place| self.at(*place, TAG).load(Ordering::Relaxed) == tag)
        {
            return place;
        }
        let Some(place) = places().find(|place| self.is_idle(*place, now_ns)) else {
            return Place::SHARED;
        };
        // The tag comes last: until then it is the entry of its former owner, with nothing owed.
        self.at(place, EVENTS).store(0, Ordering::Release);
        self.at(place, BYTES).store(0, Ordering::Release);
        self.at(place, TAG).store(tag, Ordering::Release);
        place
    }

    fn is_idle(&self, place: Place, now_ns: u64) -> bool {
        let is_full = |word| bucket::is_full(self.at(place, word), now_ns);
        self.connections(place) == 0 && is_full(EVENTS) && is_full(BYTES)
    }

    fn tag(&self, address: IpAddr) -> u64 {
        // Keyed by what comes first; all processes are of one program.
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(self.key[0]);
        hasher.write_u64(self.key[1]);
        match address.to_canonical() {
            IpAddr::V4(address) => hasher.write(&address.octets()),
            // A host has a whole /64 to choose from, so that is what counts as one sender.
            IpAddr::V6(address) => hasher.write(&address.octets()[..8]),
        }
        // Zero is an entry that nobody has had.
        hasher.finish().max(1)
    }

    fn column(&self, place: Place, worker: usize) -> &AtomicU64 {
        assert!(worker < self.workers, "no such worker");
        self.at(place, CONNECTIONS + worker)
    }

    fn at(&self, place: Place, word: usize) -> &AtomicU64 {
        let (set, way) = (place.0 as usize / WAYS, place.0 as usize % WAYS);
        let lock = usize::from(!place.is_shared());
        let entry = lock + way * entry_words(self.workers);
        self.mapping.word(PAGE / 8 + set * set_words(self.workers) + entry + word)
    }

    fn lock(&self, set: usize) -> &AtomicU64 {
        self.mapping.word(PAGE / 8 + set * set_words(self.workers))
    }
}

fn entry_words(workers: usize) -> usize {
    CONNECTIONS + workers
}

fn set_words(workers: usize) -> usize {
    1 + WAYS * entry_words(workers)
}

fn length(workers: usize) -> usize {
    PAGE + (SETS * set_words(workers) + entry_words(workers)) * 8
}

/// Takes a lock for `holder`, or gives up after a while.
fn acquire(lock: &AtomicU64, holder: u64) -> bool {
    for attempt in 0..LOCK_SPINS + LOCK_WAITS {
        match lock.compare_exchange(0, holder, Ordering::Acquire, Ordering::Relaxed) {
            Ok(_) => return true,
            // Its predecessor was killed with it: a worker has one thread that comes here.
            Err(current) if current == holder => return true,
            Err(_) if attempt < LOCK_SPINS => std::hint::spin_loop(),
            Err(_) => std::thread::sleep(LOCK_WAIT),
        }
    }
    false
}

fn random_key() -> Result<[u64; 2]> {
    let mut bytes = [0u8; 16];
    // SAFETY: the buffer is valid for its length.
    let count = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    // So few bytes come whole or not at all.
    if usize::try_from(count) != Ok(bytes.len()) {
        return Err(Error::last_os("random bytes"));
    }
    let key = u128::from_ne_bytes(bytes);
    #[allow(clippy::cast_possible_truncation)]
    Ok([key as u64, (key >> 64) as u64])
}

#[cfg(test)]
mod tests;
