//! The patterns of `regex_mask`: Python's, matched against whole dotted paths. The Rust engine
//! decides where it certainly agrees with Python's; Python itself decides the rest. Either is
//! asked once per distinct path.

use regex::{RegexSet, RegexSetBuilder};

use super::config::RegexMask;
use crate::error::{Error, Result};

/// Python's own engine.
pub trait PythonPatterns: Send + Sync {
    /// Whether one of the stage's patterns matches the whole path. A failure is a match: what
    /// cannot be decided is masked.
    fn full_match(&self, stage: usize, path: &str) -> bool;
}

/// Of the compiled set; the default would refuse a few hundred patterns with Unicode classes.
const SIZE_LIMIT: usize = 64 * 1024 * 1024;

/// The patterns of one stage.
pub struct Patterns {
    stage: usize,
    set: RegexSet,
    /// Whether Python must be asked for ASCII paths too.
    ask_python: bool,
}

impl Patterns {
    /// Compiles the patterns of the stage at that position of the pipeline.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a pattern that is not in `python_patterns` and does not compile.
    pub fn new(stage: usize, config: &RegexMask) -> Result<Self> {
        let native = config.patterns.iter().filter(|one| !config.python_patterns.contains(one));
        let whole: Vec<String> = native.map(|pattern| format!(r"\A(?:{pattern})\z")).collect();
        let set = RegexSetBuilder::new(whole).size_limit(SIZE_LIMIT).build();
        let set = set.map_err(|error| Error::Invalid(format!("regex_mask: {error}")))?;
        Ok(Self { stage, set, ask_python: !config.python_patterns.is_empty() })
    }

    /// Whether the value at a path is masked.
    pub fn is_match(&self, path: &str, python: Option<&dyn PythonPatterns>) -> bool {
        // Letters beyond ASCII and line breaks are where the engines differ.
        let is_plain = path.bytes().all(|byte| byte.is_ascii() && byte >= b' ');
        match python {
            Some(python) if !is_plain => python.full_match(self.stage, path),
            Some(python) if self.ask_python => {
                self.set.is_match(path) || python.full_match(self.stage, path)
            }
            _ => self.set.is_match(path) || self.ask_python,
        }
    }
}
