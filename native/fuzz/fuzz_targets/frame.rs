//! A stream has the same frames however it is cut, also when its state is saved and restored at
//! every cut. The first byte says how long its parts are.
#![no_main]

use _native::frame::{Frame, Framer, Frames};
use libfuzzer_sys::fuzz_target;

const LIMIT: usize = 32;

fn frames<'a>(parts: impl Iterator<Item = &'a [u8]>) -> Vec<(bool, Vec<u8>, u64)> {
    let (mut framer, mut frames, mut found) = (Framer::default(), Frames::default(), vec![]);
    let mut collect = |frames: &Frames, part: &[u8]| {
        let lines = frames.lines(part, LIMIT).map(|(_, frame, _)| frame);
        found.extend(frames.head(LIMIT).into_iter().chain(lines).map(|frame| match frame {
            Frame::Line(line) => (false, line.to_vec(), line.len() as u64),
            Frame::Overlong { head, length } => (false, head.to_vec(), length),
            Frame::Incomplete { head, length } => (true, head.to_vec(), length),
        }));
    };
    for part in parts {
        framer.feed(part, LIMIT, &mut frames);
        collect(&frames, part);
        let mut saved = vec![];
        framer.save(&mut saved);
        framer = Framer::restore(&saved).expect("what was saved");
    }
    framer.finish(&mut frames);
    collect(&frames, b"");
    found
}

fuzz_target!(|input: &[u8]| {
    let Some((length, stream)) = input.split_first() else { return };
    let whole = frames(std::iter::once(stream));
    assert_eq!(frames(stream.chunks(usize::from(*length % 40) + 1)), whole);
    let mut saved = Framer::restore(input);
    if let Some(framer) = &mut saved {
        framer.feed(stream, LIMIT, &mut Frames::default());
    }
});
