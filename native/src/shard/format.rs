//! The format of a listener's frames: syslog becomes JSON here, before the pipeline sees it.

use crate::decode::Limits;
use crate::error::Result;
use crate::receive::config::{Format, ListenerConfig};
use crate::reject::Reject;
use crate::syslog::{Dialect, Options, Syslog, recognise};

/// Reads the frames of one listener.
pub(super) struct Reader {
    format: Format,
    syslog: Syslog,
    text: Vec<u8>,
}

impl Reader {
    /// As a listener is told.
    ///
    /// # Errors
    /// For a time zone that does not exist.
    pub(super) fn new(listener: &ListenerConfig, limits: Limits) -> Result<Self> {
        let options =
            Options { time_zone: &listener.time_zone, unparsed: listener.unparsed, limits };
        Ok(Self { format: listener.format, syslog: Syslog::new(&options)?, text: Vec::new() })
    }

    /// Tells when the frames that follow were received.
    pub(super) fn begin(&mut self, received_ns: u64) {
        if self.format != Format::Json {
            self.syslog.begin(received_ns);
        }
    }

    /// The JSON of a frame, and whether it is known to be UTF-8.
    #[inline]
    pub(super) fn read<'a>(
        &'a mut self,
        frame: &'a [u8],
        is_utf8: bool,
    ) -> std::result::Result<(&'a [u8], bool), Reject> {
        let dialect = match self.format {
            Format::Json => Dialect::Json,
            Format::Syslog => Dialect::Syslog,
            Format::Auto => recognise(frame),
        };
        self.text.clear();
        match dialect {
            Dialect::Json => return Ok((frame, is_utf8)),
            Dialect::Syslog => self.syslog.decode(frame, &mut self.text)?,
            Dialect::Unknown => self.syslog.decode_unknown(frame, &mut self.text)?,
        }
        Ok((&self.text, true))
    }
}
