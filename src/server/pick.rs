//! Reading a few fields out of a JSON text, without making anything of the rest.
//!
//! An object of three kilobytes costs thirty microseconds to make a [`Value`] of, most of it for
//! allocations; to pass over what is not wanted costs three.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// Which fields are wanted: a tree of their names. A name without any below it is wanted whole.
#[derive(Debug, Default)]
pub struct Fields(Vec<(&'static str, Fields)>);

impl Fields {
    /// By JSON pointers without escapes: `/metadata/name`. Lists have no names: `/spec/ports/name`
    /// is the name of every port.
    pub fn at(pointers: impl IntoIterator<Item = &'static str>) -> Fields {
        let mut fields = Fields::default();
        for pointer in pointers {
            let mut parent = &mut fields;
            for name in pointer.split('/').skip(1) {
                parent = parent.child(name);
            }
        }
        fields
    }

    fn child(&mut self, name: &'static str) -> &mut Fields {
        let place = self.0.iter().position(|(known, _)| *known == name);
        let place = place.unwrap_or_else(|| {
            self.0.push((name, Fields::default()));
            self.0.len() - 1
        });
        &mut self.0[place].1
    }

    /// The wanted fields of `json`, in the maps and lists that they are in.
    ///
    /// # Errors
    /// Where `json` is none.
    pub fn of(&self, json: &[u8]) -> Result<Value, serde_json::Error> {
        let mut deserializer = serde_json::Deserializer::from_slice(json);
        let value = self.deserialize(&mut deserializer)?;
        deserializer.end()?;
        Ok(value)
    }
}

impl<'de> DeserializeSeed<'de> for &Fields {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        match self.0.is_empty() {
            true => serde::Deserialize::deserialize(deserializer),
            false => deserializer.deserialize_any(self),
        }
    }
}

/// Of what is neither map nor list nothing is wanted, which is null.
impl<'de> Visitor<'de> for &Fields {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut found = Map::new();
        while let Some(wanted) = map.next_key_seed(Name(self))? {
            match wanted {
                Some((name, fields)) => {
                    found.insert((*name).to_owned(), map.next_value_seed(fields)?);
                }
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(Value::Object(found))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut found = Vec::new();
        while let Some(element) = seq.next_element_seed(self)? {
            found.push(element);
        }
        Ok(Value::Array(found))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_str<E>(self, _: &str) -> Result<Value, E> {
        Ok(Value::Null)
    }
}

/// A name in a map, looked up among the wanted ones.
struct Name<'a>(&'a Fields);

impl<'de, 'a> DeserializeSeed<'de> for Name<'a> {
    type Value = Option<&'a (&'static str, Fields)>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'a> Visitor<'_> for Name<'a> {
    type Value = Option<&'a (&'static str, Fields)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.0.iter().find(|(wanted, _)| *wanted == name))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pick(pointers: &[&'static str], value: &Value) -> Value {
        let json = value.to_string();
        Fields::at(pointers.iter().copied())
            .of(json.as_bytes())
            .unwrap()
    }

    #[test]
    fn what_is_wanted_is_as_it_was_and_the_rest_is_gone() {
        let pod = json!({
            "metadata": {"name": "a", "labels": {"x": "\"1\"", "y": "2"}, "uid": "u"},
            "spec": {"containers": [{"name": "c"}], "nodeName": "n"},
            "status": {"phase": "Running"},
        });
        let wanted = [
            "/metadata/name",
            "/metadata/labels",
            "/spec/nodeName",
            "/spec/gone",
        ];
        assert_eq!(
            pick(&wanted, &pod),
            json!({
                "metadata": {"name": "a", "labels": {"x": "\"1\"", "y": "2"}},
                "spec": {"nodeName": "n"},
            })
        );
        assert_eq!(
            pick(&["/spec/containers"], &pod)["spec"]["containers"][0]["name"],
            "c"
        );
    }

    #[test]
    fn lists_have_the_fields_of_their_elements() {
        let value = json!({"a": [1, {"name": 2, "other": 3}, [{"name": 4}]]});
        assert_eq!(
            pick(&["/a/name"], &value),
            json!({"a": [null, {"name": 2}, [{"name": 4}]]})
        );
        for other in [json!(null), json!(1), json!(-1.5), json!("x"), json!(true)] {
            assert_eq!(pick(&["/a/name"], &json!({"a": other})), json!({"a": null}));
        }
    }

    #[test]
    fn what_is_no_json_is_refused() {
        let fields = Fields::at(["/a"]);
        for text in ["", "{", r#"{"a":1}x"#, r#"{"b":}"#] {
            assert!(fields.of(text.as_bytes()).is_err(), "{text}");
        }
    }
}
