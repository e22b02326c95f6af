//! The texts of the messages: JSON events of about 320 bytes, or of a given length, and syslog
//! messages of about 200.

use std::ops::RangeInclusive;
use std::time::SystemTime;

use crate::identity::{Identity, KEY};

/// What a message is written as.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// One JSON object.
    Json,
    /// Syslog with one element of structured data.
    Rfc5424,
    /// Syslog as BSD wrote it.
    Rfc3164,
}

/// Level and severity; one in five is DEBUG, whatever the format.
const LEVELS: [(&str, u8); 5] =
    [("DEBUG", 7), ("INFO", 6), ("INFO", 6), ("WARNING", 4), ("ERROR", 3)];
const LOGGERS: [&str; 4] = ["shop.checkout", "shop.cart", "auth.session", "gateway.proxy"];
const MESSAGES: [&str; 4] =
    ["request completed", "payment authorised", "session refreshed", "upstream answered slowly"];
const STATUSES: [u16; 6] = [200, 200, 201, 204, 404, 503];
/// Of the priority of a syslog message, which is this and the severity.
const FACILITY_LOCAL0: u8 = 16 * 8;

impl std::str::FromStr for Format {
    type Err = &'static str;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "json" => Ok(Self::Json),
            "rfc5424" => Ok(Self::Rfc5424),
            "rfc3164" => Ok(Self::Rfc3164),
            _ => Err("the formats are json, rfc5424 and rfc3164"),
        }
    }
}

/// How long JSON events may be asked to be: as short as they can be, and still a datagram.
pub const EVENT_BYTES: RangeInclusive<usize> = 100..=60_000;
/// From here on an event of a given length has all members that one of about 320 bytes has.
const WHOLE_BYTES: usize = 340;
/// About what a frame of a stack trace takes.
const FRAME_BYTES: usize = 70;

/// Writes messages that are alike in form and differ in content; their timestamps are one moment.
pub struct Writer {
    format: Format,
    timestamp: String,
    /// How long each JSON event is; none is what comes of its members.
    event_bytes: Option<usize>,
}

impl Writer {
    /// A writer whose moment is now.
    pub fn new(format: Format) -> Self {
        let now = SystemTime::now();
        let timestamp = match format {
            Format::Json | Format::Rfc5424 => humantime::format_rfc3339_micros(now).to_string(),
            Format::Rfc3164 => bsd_timestamp(now),
        };
        Self { format, timestamp, event_bytes: None }
    }

    /// The same, with JSON events of exactly so many bytes, which has to be in [`EVENT_BYTES`].
    #[must_use]
    pub fn with_event_bytes(self, event_bytes: Option<usize>) -> Self {
        Self { event_bytes, ..self }
    }

    /// The text of the message, without what ends it on a stream.
    pub fn message(&self, identity: Identity) -> String {
        let slot = identity.sequence;
        // Any multiplication that spreads the bits will do: texts should differ, not be random.
        let noise = (slot as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let (level, severity) = LEVELS[slot % LEVELS.len()];
        let fields = Fields {
            identity,
            timestamp: &self.timestamp,
            level,
            priority: FACILITY_LOCAL0 + severity,
            logger: LOGGERS[slot % LOGGERS.len()],
            message: MESSAGES[slot / 7 % MESSAGES.len()],
            status: STATUSES[slot / 3 % STATUSES.len()],
            noise,
        };
        match self.format {
            Format::Json => match self.event_bytes {
                None => fields.json(fields.message, ""),
                Some(bytes) => fields.json_of(bytes),
            },
            Format::Rfc5424 => fields.rfc5424(),
            Format::Rfc3164 => fields.rfc3164(),
        }
    }
}

struct Fields<'a> {
    identity: Identity,
    timestamp: &'a str,
    level: &'a str,
    priority: u8,
    logger: &'a str,
    message: &'a str,
    status: u16,
    noise: u64,
}

impl Fields<'_> {
    /// An event of exactly so many bytes: a short one has only the members that matter, a long
    /// one a stack trace for about half of what it has more, and the rest is message.
    fn json_of(&self, bytes: usize) -> String {
        let trace = self.trace(bytes.saturating_sub(WHOLE_BYTES) / 2 / FRAME_BYTES);
        let with_message = |message: &str| {
            if bytes < WHOLE_BYTES { self.short_json(message) } else { self.json(message, &trace) }
        };
        let left = bytes.saturating_sub(with_message("").len());
        with_message(&self.text(left))
    }

    /// A text of so many bytes that does not repeat itself.
    fn text(&self, bytes: usize) -> String {
        let parts = MESSAGES.iter().cycle().zip(0u32..).map(|(message, number)| {
            let noise = self.noise.rotate_left(number * 7).wrapping_add(number.into());
            format!("{message} {noise:x}; ")
        });
        let mut text = String::with_capacity(bytes);
        for part in parts {
            if text.len() >= bytes {
                break;
            }
            text.push_str(&part);
        }
        text.truncate(bytes);
        text
    }

    /// The members of an exception with so many frames, to stand behind others; none is nothing.
    fn trace(&self, frames: usize) -> String {
        if frames == 0 {
            return String::new();
        }
        let frames = (0u32..).take(frames).map(|number| {
            let line = self.noise.rotate_left(number) % 900 + 1;
            format!(r#"{{"file":"shop/step_{number:02}.py","line":{line},"function":"settle"}}"#)
        });
        let frames = frames.collect::<Vec<_>>().join(",");
        format!(r#","exception":{{"type":"TimeoutError","frames":[{frames}]}}"#)
    }

    fn short_json(&self, message: &str) -> String {
        let Self { identity, level, noise, .. } = self;
        let secret = noise % 0xFFFF;
        format!(
            concat!(
                r#"{{"level":"{level}","message":"{message}","{key}":"{identity}","#,
                r#""data":{{"password":"{secret:04x}"}}}}"#,
            ),
            level = level,
            message = message,
            key = KEY,
            identity = identity,
            secret = secret,
        )
    }

    /// An event with `more` members behind the last one of `data`.
    fn json(&self, message: &str, more: &str) -> String {
        let Self { identity, timestamp, level, logger, status, noise, .. } = self;
        format!(
            concat!(
                r#"{{"timestamp":"{timestamp}","level":"{level}","logger":"{logger}","#,
                r#""message":"{message}","context":{{"{key}":"{identity}","#,
                r#""trace_id":"{noise:016x}{mixed:016x}"}},"data":{{"ip":"203.0.113.{host}","#,
                r#""path":"/v1/orders/{order}","status":{status},"duration":0.{micros:06},"#,
                r#""password":"horse-{secret:04x}"{more}}}}}"#,
            ),
            key = KEY,
            identity = identity,
            timestamp = timestamp,
            level = level,
            logger = logger,
            message = message,
            status = status,
            noise = noise,
            mixed = noise.rotate_left(29),
            host = noise % 254 + 1,
            order = noise % 1_000_000,
            micros = noise % 900_000 + 1,
            secret = noise % 0xFFFF,
            more = more,
        )
    }

    fn rfc5424(&self) -> String {
        let Self { identity, timestamp, priority, logger, message, status, noise, .. } = self;
        format!(
            concat!(
                "<{priority}>1 {timestamp} web-{host}.example.com {logger} {process} REQ ",
                r#"[request@32473 {key}="{identity}" path="/v1/orders/{order}" "#,
                r#"status="{status}" duration="0.{micros:06}"] {message}"#,
            ),
            priority = priority,
            timestamp = timestamp,
            host = noise % 254 + 1,
            logger = logger,
            process = noise % 30_000 + 1,
            key = KEY,
            identity = identity,
            order = noise % 1_000_000,
            status = status,
            micros = noise % 900_000 + 1,
            message = message,
        )
    }

    fn rfc3164(&self) -> String {
        let Self { identity, timestamp, priority, logger, message, status, noise, .. } = self;
        format!(
            concat!(
                "<{priority}>{timestamp} web-{host} {logger}[{process}]: {key}={identity} ",
                "path=/v1/orders/{order} status={status} duration=0.{micros:06} ",
                "trace={noise:016x} ip=203.0.113.{host} {message}",
            ),
            priority = priority,
            timestamp = timestamp,
            host = noise % 254 + 1,
            logger = logger,
            process = noise % 30_000 + 1,
            key = KEY,
            identity = identity,
            order = noise % 1_000_000,
            status = status,
            micros = noise % 900_000 + 1,
            noise = noise,
            message = message,
        )
    }
}

/// The moment in UTC as `Nov 22 01:46:24`, a day below ten with a space before it.
fn bsd_timestamp(moment: SystemTime) -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let text = humantime::format_rfc3339_seconds(moment).to_string();
    let number = |at: std::ops::Range<usize>| text[at].parse::<usize>().unwrap_or(1);
    format!("{} {:>2} {}", MONTHS[(number(5..7) - 1) % 12], number(8..10), &text[11..19])
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::{Format, Writer, bsd_timestamp};
    use crate::identity::{Identity, Search};

    fn mean_bytes(format: Format) -> usize {
        let writer = Writer::new(format);
        let text = |sequence| writer.message(Identity { run: 1, connection: 2, sequence });
        (0..1000).map(|sequence| text(sequence).len()).sum::<usize>() / 1000
    }

    #[test]
    fn messages_are_as_long_as_they_are_said_to_be() {
        let json = mean_bytes(Format::Json);
        assert!((310..=330).contains(&json), "{json} bytes per JSON event");
        for format in [Format::Rfc5424, Format::Rfc3164] {
            let syslog = mean_bytes(format);
            assert!((190..=210).contains(&syslog), "{syslog} bytes per message, {format:?}");
        }
    }

    #[test]
    fn a_json_event_is_as_long_as_asked_for() {
        for bytes in [100, 200, 339, 340, 1024, 8192, 60_000] {
            let writer = Writer::new(Format::Json).with_event_bytes(Some(bytes));
            let (mut debug, search) = (0, Search::new());
            for sequence in 0..1000 {
                let identity = Identity { run: 1, connection: 2, sequence };
                let event = writer.message(identity);
                assert_eq!(event.len(), bytes, "{event}");
                assert_eq!(search.identity(event.as_bytes()), Some(identity), "{event}");
                assert!(event.contains(r#""data":{"#) && event.contains(r#""password":""#));
                debug += usize::from(event.contains(r#""level":"DEBUG""#));
            }
            assert_eq!(debug, 200);
        }
    }

    #[test]
    fn every_format_carries_the_identity() {
        let identity = Identity { run: 7, connection: 4999, sequence: 123 };
        for format in [Format::Json, Format::Rfc5424, Format::Rfc3164] {
            let message = Writer::new(format).message(identity);
            assert_eq!(Search::new().identity(message.as_bytes()), Some(identity), "{message}");
        }
    }

    #[test]
    fn a_day_below_ten_is_padded_with_a_space() {
        let moment = SystemTime::UNIX_EPOCH + Duration::from_secs(36 * 86_400);
        assert_eq!(bsd_timestamp(moment), "Feb  6 00:00:00");
    }
}
