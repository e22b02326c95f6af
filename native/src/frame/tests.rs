//! However a stream is cut, and whoever reads its parts, its frames are those of the oracle.

use proptest::prelude::*;

use super::*;

const LIMIT: usize = 16;

/// The kind of a frame, what there is of it, and its whole length.
type Found = (char, Vec<u8>, u64);

fn owned(frame: Frame<'_>) -> Found {
    match frame {
        Frame::Line(line) => ('l', line.to_vec(), line.len() as u64),
        Frame::Overlong { head, length } => ('o', head.to_vec(), length),
        Frame::Incomplete { head, length } => ('i', head.to_vec(), length),
    }
}

fn line(text: &[u8]) -> Found {
    owned(frame(text, text.len() as u64, LIMIT))
}

fn lines(texts: &[&str]) -> Vec<Found> {
    texts.iter().map(|text| line(text.as_bytes())).collect()
}

fn collect(frames: &Frames, chunk: &[u8], into: &mut Vec<Found>) {
    let before = into.len();
    into.extend(frames.head(LIMIT).map(owned));
    into.extend(frames.lines(chunk, LIMIT).map(|(_, frame, _)| owned(frame)));
    assert_eq!(into.len() - before, frames.count());
}

/// Each read may be another worker's.
fn moved(framer: &Framer) -> Framer {
    let mut saved = vec![];
    framer.save(&mut saved);
    Framer::restore(&saved).unwrap()
}

fn run<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<Found> {
    let (mut connection, mut frames, mut found) = (Framer::default(), Frames::default(), vec![]);
    for chunk in chunks {
        connection.feed(chunk, LIMIT, &mut frames);
        collect(&frames, chunk, &mut found);
        assert!(connection.partial_bytes() <= LIMIT);
        connection = moved(&connection);
    }
    let is_within_frame = connection.is_within_frame();
    connection.finish(&mut frames);
    assert_eq!(frames.count(), usize::from(is_within_frame));
    collect(&frames, b"", &mut found);
    found
}

/// What the frames of a whole stream are, said in the simplest words.
fn oracle(mut stream: &[u8]) -> Vec<Found> {
    let mut terminator = None;
    let mut found = vec![];
    loop {
        let Some(start) = stream.iter().position(|byte| !b" \t\r\n\0".contains(byte)) else {
            return found;
        };
        stream = &stream[start..];
        if let Some((length, behind)) = counted(stream) {
            if length > behind.len() {
                let head = &behind[..behind.len().min(LIMIT)];
                found.push(('i', head.to_vec(), length as u64));
                return found;
            }
            found.push(line(&behind[..length]));
            stream = &behind[length..];
            continue;
        }
        let may_be_zero = matches!(stream, [b'<' | b'{', ..]);
        let is_first_end = |byte: u8| byte == b'\n' || byte == 0 && may_be_zero;
        let is_end = |byte: &u8| terminator.map_or(is_first_end(*byte), |end| end == *byte);
        let end = stream.iter().position(is_end).unwrap_or(stream.len());
        found.push(line(&stream[..end]));
        terminator = terminator.or(stream.get(end).copied());
        stream = &stream[(end + 1).min(stream.len())..];
    }
}

fn counted(stream: &[u8]) -> Option<(usize, &[u8])> {
    let blank = stream.iter().position(|byte| *byte == b' ')?;
    let (digits, behind) = (&stream[..blank], &stream[blank + 1..]);
    let is_count = (1..=9).contains(&blank)
        && digits.iter().all(u8::is_ascii_digit)
        && digits[0] != b'0'
        && matches!(behind, [b'{', ..] | [b'<', b'0'..=b'9', ..]);
    is_count.then(|| (std::str::from_utf8(digits).unwrap().parse().unwrap(), behind))
}

/// A last line without a newline is a line; blank lines are none.
#[test]
fn lines_and_blank_lines() {
    let found = run([&b"{\"a\":1}\n\n \r\n{\"b\":2}"[..]]);
    assert_eq!(found, lines(&["{\"a\":1}", "{\"b\":2}"]));
}

/// An overlong line is one frame with its length, and the connection lives on.
#[test]
fn overlong_lines_are_skipped_to_their_end() {
    let long = vec![b'x'; 1000];
    let found = run([&long[..], &long, b"y\nnext\n"]);
    assert_eq!(found, vec![('o', vec![b'x'; LIMIT], 2001), line(b"next")]);
}

/// A line that was cut is never a whole one, also when a reload raises the limit within it.
#[test]
fn a_raised_limit_joins_nothing_to_what_was_cut() {
    let (mut connection, mut frames) = (Framer::default(), Frames::default());
    connection.feed(&[b'x'; 2 * LIMIT], LIMIT, &mut frames);
    let end = b"yyy\nnext\n";
    connection.feed(end, 100 * LIMIT, &mut frames);
    let head = frames.head(100 * LIMIT).map(owned);
    assert_eq!(head, Some(('o', vec![b'x'; LIMIT], 2 * LIMIT as u64 + 3)));
    let lines: Vec<_> = frames.lines(end, 100 * LIMIT).map(|(_, frame, _)| owned(frame)).collect();
    assert_eq!(lines, [line(b"next")]);
}

/// Counted frames may hold line breaks, may have blanks between them, and lines beside them.
#[test]
fn octets_are_counted() {
    let found = run([
        &b"6 <1>a\nb7 <1>cdef\n \0\n7 {\"a\":1}<1>line\n6 <1>ghi12 is no count\n9 <p> is none\n"[..],
    ]);
    let expected = lines(&[
        "<1>a\nb",
        "<1>cdef",
        "{\"a\":1}",
        "<1>line",
        "<1>ghi",
        "12 is no count",
        "9 <p> is none",
    ]);
    assert_eq!(found, expected);
}

/// A counted frame that is too long is skipped to its end; one that its connection cuts off is
/// told from those that are whole.
#[test]
fn counted_frames_have_a_limit_and_an_end() {
    let long = [&b"1000 <1"[..], &[b'x'; 998], b"4 <1>a", b"9 <1>b"].concat();
    let head = [&b"<1"[..], &[b'x'; LIMIT - 2]].concat();
    let expected = vec![('o', head, 1000), line(b"<1>a"), ('i', b"<1>b".to_vec(), 9)];
    assert_eq!(run([&long[..]]), expected);
    assert_eq!(run(long.chunks(7)), expected);
}

/// The first terminator of a connection decides; with zero bytes, newlines are content.
#[test]
fn zero_bytes_end_frames_where_they_do_first() {
    assert_eq!(run([&b"<1>a\nb\n\0<1>c\0\n"[..]]), lines(&["<1>a", "b", "<1>c\0"]));
    assert_eq!(run([&b"<1>a\0<1>b\nc\0"[..]]), lines(&["<1>a", "<1>b\nc"]));
    assert_eq!(run([&b"torn\0\0\n<1>b\nc"[..]]), lines(&["torn\0\0", "<1>b", "c"]));
}

/// JSON is framed by lines in datagrams too; any other datagram is one frame. A count of all its
/// octets is no part of it.
#[test]
fn datagrams_are_lines_of_json_or_frames() {
    let datagrams: [&[u8]; 9] = [
        b"{\"a\":1}\n{\"b\":2}\r\n\n",
        b"<13>one\ntwo\n\0",
        b"",
        b"\n \0",
        b" \n{\"c\":3}",
        b"text\n{\"d\":4}",
        b"9 <13>a\nbcd",
        b"8 <13>abcde",
        b"<13>a text that is too long",
    ];
    let (mut chunk, mut ends) = (vec![], vec![]);
    for datagram in datagrams {
        chunk.extend_from_slice(datagram);
        ends.push(u32::try_from(chunk.len()).unwrap());
        chunk.push(b'\n');
    }
    let (mut frames, mut found) = (Frames::default(), vec![]);
    frames.of_datagrams(&chunk, ends.iter().copied());
    collect(&frames, &chunk, &mut found);
    let mut expected =
        lines(&["{\"a\":1}", "{\"b\":2}", "<13>one\ntwo", "{\"c\":3}", "text\n{\"d\":4}"]);
    expected.extend(lines(&["<13>a\nbcd", "8 <13>abcde"]));
    expected.push(('o', b"<13>a text that ".to_vec(), 27));
    assert_eq!(found, expected);
    // Each frame ends within its datagram, which is how its sender is found.
    let datagram_of = |end| ends.partition_point(|datagram| *datagram < end);
    let places: Vec<_> = frames.lines(&chunk, LIMIT).map(|(end, ..)| datagram_of(end)).collect();
    assert_eq!(places, [0, 0, 1, 4, 5, 6, 7, 8]);
}

/// What is no saved state is not taken for one.
#[test]
fn a_state_that_was_not_saved_is_not_restored() {
    let mut framer = Framer::default();
    framer.feed(b"<1>a\n20 <1>b", LIMIT, &mut Frames::default());
    let mut saved = vec![];
    framer.save(&mut saved);
    assert!(Framer::restore(&saved).is_some());
    assert!(Framer::restore(&saved[..17]).is_none());
    for (at, byte) in [(0, 3), (1, 0), (1, 1), (1, 2), (1, 4), (2, 0), (10, 0), (17, 255)] {
        let mut changed = saved.clone();
        changed[at] = byte;
        let taken = Framer::restore(&changed);
        assert_eq!(taken.is_some(), at == 17, "{at} {byte}");
    }
    saved.extend_from_slice(b"more than its length");
    assert!(Framer::restore(&saved).is_none());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    /// However the stream is cut into reads, the frames are the same.
    #[test]
    fn cuts_do_not_matter(
        stream in prop::collection::vec(prop::sample::select(b"a{<<1129 0   \r\n\n\0".to_vec()), 0..200),
        cuts in prop::collection::vec(0usize..200, 0..20),
    ) {
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(stream.len())).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let chunks = cuts.windows(2).map(|pair| &stream[pair[0]..pair[1]]);
        prop_assert_eq!(run(chunks), oracle(&stream));
    }
}
