//! The format of a listener's frames: syslog becomes JSON here, before the pipeline sees it.

use crate::decode::{Limits, Source};
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

    /// The JSON of a frame.
    #[inline]
    pub(super) fn read<'a>(
        &'a mut self,
        source: Source<'a>,
    ) -> std::result::Result<Source<'a>, Reject> {
        let frame = source.line();
        let dialect = match self.format {
            Format::Json => Dialect::Json,
            Format::Syslog => Dialect::Syslog,
            Format::Auto => recognise(frame),
        };
        self.text.clear();
        match dialect {
            Dialect::Json => return Ok(source),
            Dialect::Syslog => self.syslog.decode(frame, &mut self.text)?,
            Dialect::Unknown => self.syslog.decode_unknown(frame, &mut self.text)?,
        }
        Ok(Source::alone(&self.text, true))
    }
}
