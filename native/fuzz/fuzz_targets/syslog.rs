//! A message becomes an event that the decoder takes, in one line of bounded length, or is
//! rejected and leaves nothing behind.
#![no_main]

use _native::decode::{Blind, Decoder, Limits};
use _native::reject::Reject;
use _native::syslog::{Options, Syslog, Unparsed, recognise};
use libfuzzer_sys::fuzz_target;

const LIMITS: Limits = Limits { depth: 16, keys: 256 };

fuzz_target!(|message: &[u8]| {
    recognise(message);
    for unparsed in [Unparsed::DeadLetter, Unparsed::Keep] {
        let options = Options { time_zone: "Europe/Berlin", unparsed, limits: LIMITS };
        let mut syslog = Syslog::new(&options).expect("a time zone");
        syslog.begin(1_795_348_800_000_000_000);
        let mut event = vec![];
        if syslog.decode(message, &mut event).is_err() {
            assert!(event.is_empty() && unparsed == Unparsed::DeadLetter);
            continue;
        }
        assert!(event.len() <= 6 * message.len() + 600 && !event.contains(&b'\n'));
        let decoded = Decoder::new(LIMITS).decode(&event, false, &mut Blind, &mut vec![]);
        let may_fail = message.windows(5).any(|word| word == b"@cee:");
        assert!(match decoded {
            Ok(_) => true,
            Err(Reject::TooManyKeys | Reject::TooDeep | Reject::DuplicateKey) => may_fail,
            Err(_) => false,
        });
    }
});
