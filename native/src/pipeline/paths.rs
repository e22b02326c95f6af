//! Where a value stands, and what the stages want of the values there. It is decided once per
//! path: the next event with the same keys finds the decision in a hash table.
//!
//! The table is bounded: when senders make up keys without end it is emptied between two
//! events, and filled again by those that come back.

use std::hash::{BuildHasher, RandomState};
use std::ops::Range;

use super::fields::State;
use super::rules::Rules;
use crate::decode::Print;

/// A place that some stage or the [`Watch`]es want to know of.
pub const WANTED: u32 = 1 << 31;
/// A place below which nothing is of interest.
pub const BARREN: u32 = 1 << 30;
const NODE: u32 = BARREN - 1;

/// Nodes, and bytes of keys, at which the table is emptied.
const NODES_MAXIMUM: usize = 1 << 16;
const KEY_BYTES_MAXIMUM: usize = 4 << 20;
const SLOTS_INITIAL: usize = 256;

/// A place, once for all events.
struct Node {
    /// The stages that mask what stands here.
    masks: u32,
    /// The watches that end here ...
    watched: u64,
    /// ... and those that go through here.
    underway: u64,
    depth: u32,
    parent: u32,
    /// Where its key lies; elements of arrays have none.
    key: Option<Range<usize>>,
    states: Range<usize>,
    /// The place of elements, when they are not told apart.
    element: Option<u32>,
    is_indexed: bool,
}

#[derive(Clone, Copy)]
struct Slot {
    print: Print,
    parent: u32,
    length: u32,
    /// Zero: nobody is here. The event itself is nobody's child.
    place: u32,
}

const EMPTY: Slot =
    Slot { print: Print { fingerprint: 0, head: 0 }, parent: 0, length: 0, place: 0 };
/// The length that stands for an element of an array, whose position is in the print.
const ELEMENT: u32 = u32::MAX;
/// The position that stands for all those of an array that no path names. No line has so many.
const OTHER: u32 = u32::MAX;

/// What is longer is no path anybody meant, and all patterns match it: writing and matching the
/// paths of many members below a huge key would take time that grows with the square of the line.
const LONGEST_PATH: usize = 1024;

/// The places seen so far.
pub struct Paths {
    rules: Rules,
    /// Whether every key has to be looked at.
    all: bool,
    nodes: Vec<Node>,
    keys: Vec<u8>,
    states: Vec<State>,
    slots: Vec<Slot>,
    below: Vec<State>,
    text: String,
    /// How often the table was emptied.
    epoch: u64,
    /// Senders do not know them, so they cannot choose keys that meet in the table.
    secrets: [u64; 2],
}

impl Paths {
    /// With nothing seen yet.
    pub fn new(rules: Rules) -> Self {
        let all = !rules.patterns.is_empty() || !rules.blocked.is_empty();
        let mut paths = Self {
            rules,
            all,
            nodes: Vec::new(),
            keys: Vec::new(),
            states: Vec::new(),
            slots: Vec::new(),
            below: Vec::new(),
            text: String::new(),
            epoch: 0,
            secrets: [(); 2].map(|()| RandomState::new().hash_one(()) | 1),
        };
        paths.empty();
        paths
    }

    fn empty(&mut self) {
        self.epoch += 1;
        self.nodes.clear();
        self.keys.clear();
        self.states.clear();
        self.slots.clear();
        self.slots.resize(SLOTS_INITIAL, EMPTY);
        self.states.extend(self.rules.fields.begin());
        let underway = u64::MAX.checked_shr(64 - self.rules.watches.len() as u32).unwrap_or(0);
        self.nodes.push(Node {
            masks: 0,
            watched: 0,
            underway,
            depth: 0,
            parent: 0,
            key: None,
            states: 0..self.states.len(),
            element: None,
            is_indexed: false,
        });
    }

    /// The place of the event, before it is scanned.
    #[inline]
    pub fn begin(&mut self) -> u32 {
        if self.nodes.len() > NODES_MAXIMUM || self.keys.len() > KEY_BYTES_MAXIMUM {
            self.empty();
        }
        if self.all || !self.states.is_empty() || self.nodes[0].underway != 0 { 0 } else { BARREN }
    }

    /// Changes when places that were handed out before are void.
    #[inline]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The stages that mask what stands at a place.
    #[inline]
    pub fn masks(&self, place: u32) -> u32 {
        self.nodes[(place & NODE) as usize].masks
    }

    /// The watches that end at a place, one bit each.
    #[inline]
    pub fn watched(&self, place: u32) -> u64 {
        self.nodes[(place & NODE) as usize].watched
    }

    /// The place of a member of an object that is not barren.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "asked for every key")]
    pub fn member(&mut self, object: u32, key: &[u8], print: Print) -> u32 {
        if key.len() <= Print::EXACT {
            let (parent, length) = (object & NODE, key.len() as u32);
            let slot = &self.slots[self.slot_of(parent, print)];
            if slot.print == print
                && slot.parent == parent
                && slot.length == length
                && slot.place != 0
            {
                return slot.place;
            }
        }
        self.search_member(object, key, print)
    }

    /// The same for a long key, one that is not in the slot where it would be first, or a new one.
    #[inline(never)]
    fn search_member(&mut self, object: u32, key: &[u8], print: Print) -> u32 {
        let (parent, length) = (object & NODE, key.len() as u32);
        let print = if key.len() <= Print::EXACT { print } else { self.print_whole(key) };
        let mut at = self.slot_of(parent, print);
        loop {
            let slot = &self.slots[at];
            if slot.place == 0 {
                return self.add_member(parent, key, print);
            }
            if slot.print == print
                && slot.parent == parent
                && slot.length == length
                && (key.len() <= Print::EXACT || self.is_key(slot.place, key))
            {
                return slot.place;
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
    }

    /// The place of an element.
    #[inline]
    pub fn element(&mut self, array: u32, position: u32) -> u32 {
        if array & BARREN != 0 {
            return BARREN;
        }
        let parent = array & NODE;
        match self.nodes[parent as usize].element {
            Some(place) => place,
            None => self.indexed_element(parent, position),
        }
    }

    #[inline]
    fn slot_of(&self, parent: u32, print: Print) -> usize {
        let [first, second] = self.secrets;
        let mixed = fold(print.fingerprint ^ u64::from(parent) ^ first, print.head ^ second);
        mixed as usize & (self.slots.len() - 1)
    }

    /// Of a long key, every byte counts: or else keys that differ in the middle would pile up.
    #[cold]
    #[inline(never)]
    fn print_whole(&self, key: &[u8]) -> Print {
        let [first, second] = self.secrets;
        let fingerprint = key.chunks(8).fold(second, |hash, chunk| {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            fold(hash ^ u64::from_le_bytes(word), first)
        });
        Print { fingerprint, head: first }
    }

    fn is_key(&self, place: u32, key: &[u8]) -> bool {
        let node = &self.nodes[(place & NODE) as usize];
        node.key.clone().is_some_and(|range| self.keys[range] == *key)
    }

    #[cold]
    #[inline(never)]
    fn indexed_element(&mut self, parent: u32, position: u32) -> u32 {
        let node = &self.nodes[parent as usize];
        if !node.is_indexed {
            let place = self.add_element(parent, position);
            self.nodes[parent as usize].element = Some(place);
            return place;
        }
        let states = &self.states[node.states.clone()];
        let is_named = self.rules.fields.names_element(states, position);
        let number = u64::from(if is_named { position } else { OTHER });
        let print = Print { fingerprint: number, head: number };
        let mut at = self.slot_of(parent, print);
        loop {
            let slot = &self.slots[at];
            if slot.place == 0 {
                let place = self.add_element(parent, position);
                self.insert(Slot { print, parent, length: ELEMENT, place });
                return place;
            }
            if slot.print == print && slot.parent == parent && slot.length == ELEMENT {
                return slot.place;
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
    }

    fn add_element(&mut self, parent: u32, position: u32) -> u32 {
        let states = self.nodes[parent as usize].states.clone();
        self.below.clear();
        let masks = self.rules.fields.element(&self.states[states], position, &mut self.below);
        self.add_node(parent, None, masks, 0, 0)
    }

    #[cold]
    #[inline(never)]
    fn add_member(&mut self, parent: u32, key: &[u8], print: Print) -> u32 {
        let node = &self.nodes[parent as usize];
        self.below.clear();
        let states = &self.states[node.states.clone()];
        let mut masks = self.rules.fields.member(states, key, &mut self.below);
        let (mut watched, mut underway) = (0, 0);
        for (index, watch) in self.rules.watches.iter().enumerate() {
            let bit = 1 << index;
            let matches = watch.get(node.depth as usize).is_some_and(|part| **part == *key);
            if node.underway & bit != 0 && matches {
                let is_last = watch.len() == node.depth as usize + 1;
                *(if is_last { &mut watched } else { &mut underway }) |= bit;
            }
        }
        let start = self.keys.len();
        self.keys.extend_from_slice(key);
        if self.all {
            masks |= self.matched(parent, key);
        }
        let key_range = Some(start..self.keys.len());
        let place = self.add_node(parent, key_range, masks, watched, underway);
        self.insert(Slot { print, parent, length: key.len() as u32, place });
        place
    }

    /// The stages whose patterns match the path, or whose names match the key.
    fn matched(&mut self, parent: u32, key: &[u8]) -> u32 {
        let Ok(name) = std::str::from_utf8(key) else { return u32::MAX };
        let mut masks = 0;
        if !self.rules.blocked.is_empty() {
            let lower = name.to_lowercase();
            for (bits, names) in &self.rules.blocked {
                if names.contains(&lower) {
                    masks |= bits;
                }
            }
        }
        if !self.rules.patterns.is_empty() {
            let is_path = self.write_path(parent, name);
            let python = self.rules.python.as_deref();
            for (bits, patterns) in &self.rules.patterns {
                if !is_path || patterns.is_match(&self.text, python) {
                    masks |= bits;
                }
            }
        }
        masks
    }

    /// The keys from the event on, joined by dots; false for more than [`LONGEST_PATH`] bytes.
    /// Elements of arrays add nothing.
    fn write_path(&mut self, parent: u32, name: &str) -> bool {
        let mut parts = vec![name];
        let mut length = name.len();
        let mut at = parent;
        while at != 0 && length <= LONGEST_PATH {
            let node = &self.nodes[at as usize];
            if let Some(key) = node.key.clone() {
                length += 1 + key.len();
                if length <= LONGEST_PATH {
                    parts.push(std::str::from_utf8(&self.keys[key]).unwrap_or_default());
                }
            }
            at = node.parent;
        }
        if length > LONGEST_PATH {
            return false;
        }
        self.text.clear();
        for (index, part) in parts.iter().rev().enumerate() {
            if index > 0 {
                self.text.push('.');
            }
            self.text.push_str(part);
        }
        true
    }

    fn add_node(
        &mut self,
        parent: u32,
        key: Option<Range<usize>>,
        masks: u32,
        watched: u64,
        underway: u64,
    ) -> u32 {
        let is_indexed = self.rules.fields.is_indexed(&self.below);
        let is_barren = !self.all && self.below.is_empty() && underway == 0;
        let start = self.states.len();
        self.states.append(&mut self.below);
        let depth = self.nodes[parent as usize].depth + 1;
        let id = self.nodes.len() as u32;
        self.nodes.push(Node {
            masks,
            watched,
            underway,
            depth,
            parent,
            key,
            states: start..self.states.len(),
            element: None,
            is_indexed,
        });
        let wanted = if masks != 0 || watched != 0 { WANTED } else { 0 };
        id | wanted | if is_barren { BARREN } else { 0 }
    }

    fn insert(&mut self, slot: Slot) {
        if self.nodes.len() * 2 > self.slots.len() {
            let old = std::mem::take(&mut self.slots);
            self.slots.resize(old.len() * 2, EMPTY);
            for slot in old.into_iter().filter(|slot| slot.place != 0) {
                self.place(slot);
            }
        }
        self.place(slot);
    }

    fn place(&mut self, slot: Slot) {
        let mut at = self.slot_of(slot.parent, slot.print);
        while self.slots[at].place != 0 {
            at = (at + 1) & (self.slots.len() - 1);
        }
        self.slots[at] = slot;
    }
}

/// Both halves of a product, so that every bit of either factor counts.
#[inline]
fn fold(left: u64, right: u64) -> u64 {
    let product = u128::from(left) * u128::from(right);
    product as u64 ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests;
