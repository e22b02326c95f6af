//! Standard input as the sign to stop: whoever started the program holds the other end.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// Tells whether standard input has ended.
#[derive(Clone, Default)]
pub struct EndOfInput(Arc<AtomicBool>);

impl EndOfInput {
    /// Watches standard input; the thread dies with the process.
    pub fn watch() -> Self {
        let end = Self::default();
        let flag = end.clone();
        thread::spawn(move || {
            let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
            flag.0.store(true, Ordering::Relaxed);
        });
        end
    }

    /// Has it ended?
    pub fn is_reached(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
