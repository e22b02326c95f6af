//! The slow oracle: `serde_json` with a tree, taught to reject duplicate keys.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value, json};

struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, out: &mut fmt::Formatter) -> fmt::Result {
        out.write_str("JSON without duplicate keys")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Strict(value)) = elements.next_element()? {
            values.push(value);
        }
        Ok(values.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some((key, Strict(value))) = members.next_entry::<String, _>()? {
            if map.insert(key, value).is_some() {
                return Err(A::Error::custom("duplicate key"));
            }
        }
        Ok(map.into())
    }
}

/// The object on a line, if it is valid.
pub fn parse(line: &[u8]) -> Option<Value> {
    serde_json::from_slice::<Strict>(line).ok().map(|Strict(value)| value)
}

/// The canonical event of a line's object.
pub fn canonical(mut event: Value) -> Value {
    while event.as_object().is_some_and(|object| object.len() == 2)
        && event["schema_version"].is_string()
        && event["log"].is_object()
    {
        event = event["log"].take();
    }
    for group in ["context", "diagnostics", "data"] {
        if let Some(value) = event.get_mut(group).filter(|value| !value.is_object()) {
            *value = json!({ "value": value.take() });
        }
    }
    if let Some(data) = event.get_mut("data").and_then(Value::as_object_mut) {
        data.remove("_fapilog_unsafe");
        data.remove("_fapilog_internal");
    }
    event
}
