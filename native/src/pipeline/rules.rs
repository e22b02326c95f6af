//! What decides about paths: gathered from the stages of a segment before the first event.

use std::sync::Arc;

use super::config::Kernel;
use super::fields::FieldPaths;
use super::patterns::{Patterns, PythonPatterns};
use crate::error::Result;

/// A path of keys from the event on whose value is wanted for itself.
pub type Watch = Vec<Vec<u8>>;

/// What decides about paths.
#[derive(Default)]
pub struct Rules {
    /// Of all `field_mask` stages.
    pub fields: FieldPaths,
    /// The bits of each `regex_mask` stage.
    pub patterns: Vec<(u32, Patterns)>,
    /// The bits of each `field_blocker` stage, and the names it blocks, in lower case.
    pub blocked: Vec<(u32, Vec<String>)>,
    /// At most 64.
    pub watches: Vec<Watch>,
    /// Python's engine for patterns.
    pub python: Option<Arc<dyn PythonPatterns>>,
}

impl Rules {
    /// Has a path of keys watched; the number of the watch.
    pub fn watch(&mut self, path: &[&str]) -> usize {
        self.watches.push(path.iter().map(|key| key.as_bytes().to_vec()).collect());
        self.watches.len() - 1
    }

    /// Has a redactor's values found by where they stand.
    pub fn add(&mut self, stage: usize, bit: u32, kernel: &Kernel) -> Result<()> {
        match kernel {
            Kernel::FieldMask(config) => {
                config.fields_to_mask.iter().for_each(|path| self.fields.add(bit, path));
            }
            Kernel::RegexMask(config) if !config.patterns.is_empty() => {
                self.patterns.push((bit, Patterns::new(stage, config)?));
            }
            Kernel::FieldBlocker(config) => {
                self.blocked.push((bit, config.blocked_fields.clone()));
            }
            _ => {}
        }
        Ok(())
    }
}
