//! The durable journal: format, writer, recovery, reader.
