//! Replies as JSON.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::resp::Reply;

/// A text; bytes that are none are `{"base64": ..}`.
pub(super) fn text(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => Value::from(text),
        Err(_) => json!({ "base64": STANDARD.encode(bytes) }),
    }
}

/// From here on not every whole number is a double: one that was written with more digits is not known any more.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// The bytes of a text, of `{"base64": ..}`, or of a number; nothing if it was not read as it was written.
pub(super) fn bytes(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::String(text) => Some(text.clone().into_bytes()),
        Value::Number(number) if number.is_f64() && number.as_f64().is_none_or(|it| it.abs() >= EXACT) => None,
        Value::Number(number) => Some(number.to_string().into_bytes()),
        Value::Object(object) if object.len() == 1 => STANDARD.decode(object.get("base64")?.as_str()?).ok(),
        _ => None,
    }
}

/// Whatever a command has said.
pub(super) fn of(reply: &Reply) -> Value {
    match reply {
        Reply::Simple(said) => Value::from(said.as_ref()),
        Reply::Error(said) => {
            let (code, message) = said.split_once(' ').unwrap_or((said, ""));
            json!({ "error": code, "message": message })
        }
        Reply::Integer(number) => Value::from(*number),
        // JSON has no infinity.
        Reply::Double(number) if number.is_finite() => Value::from(*number),
        Reply::Double(number) => Value::from(number.to_string()),
        Reply::Boolean(is_so) => Value::from(*is_so),
        Reply::Bulk(bytes) => text(bytes),
        Reply::Null | Reply::NullArray => Value::Null,
        Reply::Array(items) | Reply::Set(items) | Reply::Push(items) => Value::Array(items.iter().map(of).collect()),
        Reply::Map(pairs) | Reply::Keyed(pairs) => object(pairs).unwrap_or_else(|| list(pairs)),
        Reply::Pairs(pairs) | Reply::Attribute(pairs) => list(pairs),
        Reply::Verbatim(said) => Value::from(said.as_str()),
        Reply::Decimal(text) => text.parse::<f64>().map_or_else(|_| Value::from(text.as_str()), Value::from),
    }
}

/// An object, if all names are texts.
fn object(pairs: &[(Reply, Reply)]) -> Option<Value> {
    let named = pairs.iter().map(|(name, value)| match of(name) {
        Value::String(name) => Some((name, of(value))),
        _ => None,
    });
    named.collect::<Option<Map<_, _>>>().map(Value::Object)
}

fn list(pairs: &[(Reply, Reply)]) -> Value {
    Value::Array(pairs.iter().map(|(name, value)| json!([of(name), of(value)])).collect())
}

#[cfg(test)]
mod tests {
    use super::{bytes, of, text};
    use crate::resp::Reply;
    use serde_json::json;

    #[test]
    fn texts_stay_texts_and_other_bytes_come_back_as_they_were() {
        for given in [&b"plain"[..], b"", b"\xff\x00", "h\u{e9}".as_bytes()] {
            assert_eq!(bytes(&text(given)).as_deref(), Some(given));
        }
        assert_eq!(bytes(&json!(12.5)).as_deref(), Some(&b"12.5"[..]));
        assert_eq!(bytes(&json!(["a"])), None);
        let long: serde_json::Value = serde_json::from_str("123456789012345678901234567890").unwrap();
        assert_eq!(bytes(&long), None);
        assert_eq!(bytes(&json!({ "base64": "?" })), None);
    }

    #[test]
    fn maps_are_objects_where_their_names_are_texts() {
        let map = |name: &[u8]| of(&Reply::map([(Reply::copied(name), Reply::Integer(1))]));
        assert_eq!(map(b"n"), json!({ "n": 1 }));
        assert_eq!(map(b"\xff"), json!([[{ "base64": "/w==" }, 1]]));
        assert_eq!(of(&Reply::Double(f64::INFINITY)), json!("inf"));
    }
}
