//! JSON as Go writes it: keys in their order, and `<`, `>` and `&` escaped.

use std::io;

use serde::Serialize;
use serde_json::Value;
use serde_json::ser::{CompactFormatter, Formatter, PrettyFormatter};

/// Four blanks deep; no line end after it.
pub fn pretty(value: &Value) -> String {
    write(value, PrettyFormatter::with_indent(b"    "))
}

pub fn compact(value: &Value) -> String {
    write(value, CompactFormatter)
}

fn write(value: &Value, inner: impl Formatter) -> String {
    let mut bytes = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, Escaping(inner));
    // Neither the value nor a vector can refuse.
    let written = sorted(value).serialize(&mut serializer);
    debug_assert!(written.is_ok());
    String::from_utf8(bytes).unwrap_or_default()
}

/// With the keys of every map in order.
fn sorted(value: &Value) -> Value {
    let mut value = value.clone();
    value.sort_all_objects();
    value
}

/// Passes everything on but pieces of text with characters that HTML knows.
struct Escaping<F>(F);

macro_rules! pass_on {
    ($($name:ident($($argument:ident: $kind:ty),*);)*) => {
        $(fn $name<W: ?Sized + io::Write>(&mut self, writer: &mut W $(, $argument: $kind)*) -> io::Result<()> {
            self.0.$name(writer $(, $argument)*)
        })*
    };
}

impl<F: Formatter> Formatter for Escaping<F> {
    pass_on! {
        begin_array();
        end_array();
        begin_array_value(first: bool);
        end_array_value();
        begin_object();
        end_object();
        begin_object_key(first: bool);
        end_object_key();
        begin_object_value();
        end_object_value();
    }

    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        for character in fragment.chars() {
            match character {
                '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                    write!(writer, "\\u{:04x}", u32::from(character))?;
                }
                other => write!(writer, "{other}")?,
            }
        }
        Ok(())
    }
}

/// As `%v` prints a value in Go: `map[a:1 b:[x y]]`.
pub fn go(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(go).collect();
            format!("[{}]", items.join(" "))
        }
        Value::Object(map) => {
            let mut pairs: Vec<(&String, &Value)> = map.iter().collect();
            pairs.sort_by_key(|(key, _)| *key);
            let pairs: Vec<String> = pairs
                .into_iter()
                .map(|(key, value)| format!("{key}:{}", go(value)))
                .collect();
            format!("map[{}]", pairs.join(" "))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn as_go_writes_it() {
        let value = json!({"b": ["<none>", 1], "a": {"x": "é & \"\n"}, "c": {}});
        assert_eq!(
            compact(&value),
            r#"{"a":{"x":"é \u0026 \"\n"},"b":["\u003cnone\u003e",1],"c":{}}"#
        );
        assert!(pretty(&value).starts_with("{\n    \"a\": {\n        \"x\""));
        assert_eq!(go(&value), "map[a:map[x:é & \"\n] b:[<none> 1] c:map[]]");
    }
}
