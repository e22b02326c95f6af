//! `str(event.get("level", "INFO")).upper()`, which three filters decide by.

use std::str;

use crate::pipeline::python_str::python_text;

/// Reads levels in memory that it uses again.
#[derive(Default)]
pub struct LevelName {
    text: Vec<u8>,
    upper: Vec<u8>,
}

impl LevelName {
    /// The name of a level given as JSON: in place, where it is a string in upper case.
    #[inline]
    pub fn read<'a>(&'a mut self, level: Option<&'a [u8]>) -> &'a [u8] {
        let Some(json) = level else { return b"INFO" };
        if let [b'"', name @ .., b'"'] = json
            && name.iter().all(u8::is_ascii_uppercase)
        {
            return name;
        }
        let text = python_text(json, &mut self.text);
        self.upper.clear();
        match str::from_utf8(text) {
            Ok(text) if !text.is_ascii() => {
                for character in text.chars().flat_map(char::to_uppercase) {
                    self.upper.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                }
            }
            _ => self.upper.extend(text.iter().map(u8::to_ascii_uppercase)),
        }
        &self.upper
    }
}

/// The levels that a filter lets pass whatever else it decides by.
pub struct PassingLevels {
    names: Vec<String>,
    name: LevelName,
}

impl PassingLevels {
    /// Those with these names, which are upper case.
    pub fn new(names: &[String]) -> Self {
        Self { names: names.to_vec(), name: LevelName::default() }
    }

    /// Whether a level given as JSON is one of them.
    #[inline]
    pub fn contains(&mut self, level: Option<&[u8]>) -> bool {
        let name = self.name.read(level);
        self.names.iter().any(|passing| passing.as_bytes() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `str(event.get("level", "INFO")).upper()` of Python 3.11.
    #[test]
    fn names_are_pythons() {
        for (level, expected) in [
            (None, "INFO"),
            (Some(r#""WARNING""#), "WARNING"),
            (Some(r#""warning""#), "WARNING"),
            (Some(r#""""#), ""),
            (Some(r#""\u0065rror""#), "ERROR"),
            (Some(r#""ınfo ſ straße""#), "INFO S STRASSE"),
            (Some("null"), "NONE"),
            (Some("true"), "TRUE"),
            (Some("30"), "30"),
            (Some("1e-7"), "1E-07"),
        ] {
            let mut name = LevelName::default();
            let read = name.read(level.map(str::as_bytes));
            assert_eq!(str::from_utf8(read).unwrap(), expected, "{level:?}");
        }
    }
}
