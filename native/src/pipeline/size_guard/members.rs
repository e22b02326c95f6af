//! The members of an event, as the text has them.

use std::borrow::Cow;

use super::draft::{Member, Role, Value};
use crate::pipeline::python_str::python_text;
use crate::pipeline::tokens::Tokens;

/// Reads members.
pub struct Reader<'a, 't> {
    pub text: &'a [u8],
    /// Of the text.
    pub tokens: &'t Tokens,
    /// Those that are members of the event or of its context never go.
    pub preserve_fields: &'t [String],
}

impl<'a> Reader<'a, '_> {
    /// The members of the event that is the token `event`, without the marks of a truncation
    /// before this one.
    pub fn event(&self, event: usize) -> Vec<Member<'a>> {
        let mut scratch = Vec::new();
        let mut members = Vec::new();
        for key in self.tokens.keys(event) {
            let mut member = self.member(key, &mut scratch);
            let is_object = self.tokens.get(key + 1).text(self.text).starts_with(b"{");
            match member.role {
                Role::Mark => continue,
                role @ (Role::Data | Role::Diagnostics | Role::Context) if is_object => {
                    let mut group: Vec<_> = (self.tokens.keys(key + 1))
                        .map(|key| self.member(key, &mut scratch))
                        .collect();
                    for member in &mut group {
                        member.is_preserved &= role == Role::Context;
                    }
                    member.value = Value::Group(group);
                }
                Role::Message => {}
                _ => member.role = Role::Other,
            }
            members.push(member);
        }
        members
    }

    fn member(&self, key: usize, scratch: &mut Vec<u8>) -> Member<'a> {
        let key_text = self.tokens.get(key).text(self.text);
        let name = python_text(key_text, scratch);
        Member {
            role: match name {
                b"data" => Role::Data,
                b"diagnostics" => Role::Diagnostics,
                b"context" => Role::Context,
                b"message" => Role::Message,
                b"_truncated" | b"_original_size" | b"_heavily_truncated" => Role::Mark,
                _ => Role::Other,
            },
            is_preserved: self.preserve_fields.iter().any(|field| field.as_bytes() == name),
            key: key_text,
            value: Value::Text(Cow::Borrowed(self.tokens.get(key + 1).text(self.text))),
        }
    }
}
