//! What the table of places promises whatever senders choose as keys.

use super::*;
use crate::pipeline::config::RegexMask;
use crate::pipeline::fields::FieldPaths;
use crate::pipeline::patterns::Patterns;

const KEY: Print = Print { fingerprint: 1, head: 1 };

/// A sender chooses how many elements an array has; of those that no path names, one is noted.
#[test]
fn elements_that_no_path_names_are_one_place() {
    let mut fields = FieldPaths::default();
    fields.add(1, "a.7.b");
    fields.add(2, "a.9.b");
    let mut paths = Paths::new(Rules { fields, ..Rules::default() });
    let root = paths.begin();
    let array = paths.member(root, b"a", KEY);
    let masks: Vec<u32> = (0..10_000)
        .map(|position| {
            let element = paths.element(array, position);
            let value = paths.search_member(element, b"b", KEY);
            if value & WANTED == 0 { 0 } else { paths.masks(value) }
        })
        .collect();
    assert_eq!((masks[7], masks[9], masks.iter().sum::<u32>()), (1, 2, 3));
    assert!(paths.nodes.len() < 10, "{}", paths.nodes.len());
}

/// Too long to be looked at is masked, and so is all below it.
#[test]
fn a_path_that_is_too_long_is_masked() {
    let config = RegexMask {
        patterns: vec!["nothing".to_owned()],
        python_patterns: Vec::new(),
        mask_string: String::new(),
    };
    let patterns = vec![(1, Patterns::new(0, &config).unwrap())];
    let mut paths = Paths::new(Rules { patterns, ..Rules::default() });
    let root = paths.begin();
    let mut masks_below = |length| {
        let key = vec![b'k'; length];
        let parent = paths.member(root, &key, Print::of(&key));
        let child = paths.member(parent, b"b", Print::of(b"b"));
        [parent, child].map(|place| if place & WANTED == 0 { 0 } else { paths.masks(place) })
    };
    assert_eq!(masks_below(LONGEST_PATH - 2), [0, 0]);
    assert_eq!(masks_below(LONGEST_PATH - 1), [0, 1]);
    assert_eq!(masks_below(LONGEST_PATH + 1), [1, 1]);
}
