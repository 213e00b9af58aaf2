//! A value of msgpack or JSON: what either can hold, in one type, so that one decoder reads both.

use std::fmt;

use serde::de::{EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Null, or nil.
    Nil,
    /// True or false.
    Bool(bool),
    /// A whole number; 64 bits with or without a sign fit.
    Int(i128),
    /// Another number.
    Real(f64),
    /// Text.
    Text(String),
    /// Bytes, which JSON has not.
    Bytes(Vec<u8>),
    /// A list.
    List(Vec<Value>),
    /// Names and their values, in the order in which they stand.
    Map(Vec<(Value, Value)>),
}

impl Value {
    /// The value of a name in a map; none where there is none, or nil.
    pub fn get(&self, name: &str) -> Option<&Value> {
        let Value::Map(pairs) = self else { return None };
        let found = pairs.iter().find(|(key, _)| key.text() == Some(name));
        found.map(|(_, value)| value).filter(|value| **value != Value::Nil)
    }

    /// Text, or bytes that are text: some encoders write every string as bytes.
    pub fn text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            Value::Bytes(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// A list.
    pub fn list(&self) -> Option<&[Value]> {
        if let Value::List(list) = self { Some(list) } else { None }
    }

    /// A number that is neither infinite nor NaN.
    pub fn number(&self) -> Option<f64> {
        match self {
            Value::Int(n) => Some(*n as f64),
            Value::Real(x) if x.is_finite() => Some(*x),
            _ => None,
        }
    }

    /// A whole number from 0 on.
    pub fn count(&self) -> Option<u64> {
        if let Value::Int(n) = self { u64::try_from(*n).ok() } else { None }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Any)
    }
}

struct Any;

impl<'de> Visitor<'de> for Any {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of msgpack or JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Int(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Int(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Real(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_bytes<E>(self, value: &[u8]) -> Result<Value, E> {
        Ok(Value::Bytes(value.to_vec()))
    }

    fn visit_byte_buf<E>(self, value: Vec<u8>) -> Result<Value, E> {
        Ok(Value::Bytes(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Nil)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Nil)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Value::deserialize(deserializer)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Value::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(value) = seq.next_element()? {
            list.push(value);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = map.next_entry()? {
            pairs.push(pair);
        }
        Ok(Value::Map(pairs))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, data: A) -> Result<Value, A::Error> {
        let (name, rest) = data.variant::<Value>()?;
        let value = rest.newtype_variant::<Value>()?;
        Ok(Value::Map(vec![(name, value)]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn msgpack_and_json_come_to_the_same() {
        // {"a": [1, -1, 18446744073709551615, 0.5, nil, true, "x"]}
        let packed = b"\x81\xa1a\x97\x01\xff\xcf\xff\xff\xff\xff\xff\xff\xff\xff\xcb\x3f\xe0\0\0\0\0\0\0\xc0\xc3\xa1x";
        let text = "{\"a\": [1, -1, 18446744073709551615, 0.5, null, true, \"x\"]}";
        let packed: Value = rmp_serde::from_slice(packed).unwrap();
        assert_eq!(packed, serde_json::from_str(text).unwrap());
        let list = packed.get("a").and_then(Value::list).unwrap();
        assert_eq!((list[2].count(), list[1].count(), list[3].number()), (Some(u64::MAX), None, Some(0.5)));
    }
}
