//! A line that is seen at once, because it is like one before, is what a decoder says that has seen
//! none. The first two bytes say where the known line ends, and the other one.
#![no_main]

use _native::decode::{Blind, Decoder, Edits, Limits, Source};
use libfuzzer_sys::fuzz_target;

const LIMITS: Limits = Limits { depth: 8, keys: 32 };

fuzz_target!(|input: &[u8]| {
    let [known, other, bytes @ ..] = input else { return };
    let (known, bytes) = bytes.split_at(usize::from(*known).min(bytes.len()));
    let bytes = [bytes, &[b'7'; 64]].concat();
    let length = usize::from(*other).min(bytes.len());
    let is_utf8 = std::str::from_utf8(&bytes[..length]).is_ok();
    let source = Source::within(&bytes, length, is_utf8);

    let decode = |decoder: &mut Decoder| {
        let mut event = vec![];
        decoder.decode(source.line(), false, &mut Blind, &mut event).map(|edits| (event, edits))
    };
    let expected = decode(&mut Decoder::new(LIMITS));
    let mut decoder = Decoder::new(LIMITS);
    let _ = decoder.decode(known, false, &mut Blind, &mut vec![]);
    if let Some(event) = decoder.recognise(&source, &mut Blind) {
        assert_eq!(expected, Ok((event.to_vec(), Edits::default())));
    }
    assert_eq!(decode(&mut decoder), expected);
});
