//! Who looks on while a line is scanned: the pipeline learns from it where things stand.

use super::keys::Print;
use super::line::Line;

/// Told of every value of a line, in the order of the text. A place is the observer's own name
/// for where a value stands; zero to it means nothing to the scanner.
///
/// What was told of a line that turns out to be rejected, or not canonical, does not count.
pub trait Observer {
    /// False: it learns nothing, so a line need not be scanned for its sake.
    const LOOKS: bool;

    /// Changes when places that it named before mean nothing any more.
    fn epoch(&self) -> u64;
    /// Whether it does anything when told that an object or array at a place begins or ends.
    fn wants(&self, place: u32) -> bool;
    /// A line begins; the place of its event.
    fn begin(&mut self, line: Line) -> u32;
    /// A member of the object at a place; the place of its value.
    fn member(&mut self, object: u32, key: &[u8], print: Print) -> u32;
    /// An element of the array at a place; its own place.
    fn element(&mut self, array: u32, index: u32) -> u32;
    /// A string, number or literal between two positions.
    fn scalar(&mut self, place: u32, line: Line, start: usize, end: usize);
    /// An object or array begins at a position ...
    fn open(&mut self, place: u32, start: usize);
    /// ... and ends before another.
    fn close(&mut self, place: u32, end: usize);
}

/// Looks at nothing, and costs nothing.
pub struct Blind;

impl Observer for Blind {
    const LOOKS: bool = false;

    #[inline]
    fn epoch(&self) -> u64 {
        0
    }
    #[inline]
    fn wants(&self, _place: u32) -> bool {
        false
    }
    #[inline]
    fn begin(&mut self, _line: Line) -> u32 {
        0
    }
    #[inline]
    fn member(&mut self, _object: u32, _key: &[u8], _print: Print) -> u32 {
        0
    }
    #[inline]
    fn element(&mut self, _array: u32, _index: u32) -> u32 {
        0
    }
    #[inline]
    fn scalar(&mut self, _place: u32, _line: Line, _start: usize, _end: usize) {}
    #[inline]
    fn open(&mut self, _place: u32, _start: usize) {}
    #[inline]
    fn close(&mut self, _place: u32, _end: usize) {}
}
