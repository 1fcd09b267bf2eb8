//! JSON and YAML as a client wrote them, with the fields that it gave twice.
//!
//! Of such a field the last value counts, as in Kubernetes, which also says so to whoever wants to
//! know. A parsed value alone could not tell.

use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::map::Entry;
use serde_json::{Map, Number, Value};

pub struct Given {
    pub value: Value,
    /// Paths as Kubernetes writes them: `spec.containers[0].name`.
    pub doubled: Vec<String>,
}

impl From<Value> for Given {
    fn from(value: Value) -> Given {
        Given {
            value,
            doubled: Vec::new(),
        }
    }
}

impl<'de> Deserialize<'de> for Given {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Given, D::Error> {
        let mut doubled = Vec::new();
        let value = Reader {
            doubled: &mut doubled,
        }
        .deserialize(deserializer)?;
        Ok(Given {
            value,
            doubled: doubled.into_iter().map(spell).collect(),
        })
    }
}

/// No more fields than this are named, as in Kubernetes: nobody reads them all.
pub const MOST_NAMED: usize = 100;

/// From the inside out: a path is made on the way back up, and so costs nothing where no field is
/// given twice.
type Path = Vec<Step>;

enum Step {
    Key(String),
    Index(usize),
}

fn spell(path: Path) -> String {
    let mut text = String::new();
    for step in path.into_iter().rev() {
        match step {
            Step::Index(index) => text += &format!("[{index}]"),
            Step::Key(key) if text.is_empty() => text = key,
            Step::Key(key) => text += &format!(".{key}"),
        }
    }
    text
}

struct Reader<'a> {
    doubled: &'a mut Vec<Path>,
}

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any valid JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        loop {
            let before = self.doubled.len();
            let inner = Reader {
                doubled: &mut *self.doubled,
            };
            let Some(value) = list.next_element_seed(inner)? else {
                return Ok(Value::Array(values));
            };
            for path in &mut self.doubled[before..] {
                path.push(Step::Index(values.len()));
            }
            values.push(value);
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut values = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            let before = self.doubled.len();
            let value = map.next_value_seed(Reader {
                doubled: &mut *self.doubled,
            })?;
            for path in &mut self.doubled[before..] {
                path.push(Step::Key(key.clone()));
            }
            match values.entry(key) {
                Entry::Vacant(place) => {
                    place.insert(value);
                }
                Entry::Occupied(mut place) => {
                    if self.doubled.len() < MOST_NAMED {
                        self.doubled.push(vec![Step::Key(place.key().clone())]);
                    }
                    place.insert(value);
                }
            }
        }
        Ok(Value::Object(values))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_last_value_counts_and_the_others_are_named() {
        let given: Given = serde_json::from_str(
            r#"{"a": 1, "spec": {"list": [{}, {"b": [], "b": {"c": 2, "c": -3}}]}, "a": "x"}"#,
        )
        .unwrap();
        assert_eq!(
            given.value.to_string(),
            r#"{"a":"x","spec":{"list":[{},{"b":{"c":-3}}]}}"#
        );
        assert_eq!(given.doubled, ["spec.list[1].b.c", "spec.list[1].b", "a"]);
    }

    proptest! {
        #[test]
        fn it_reads_what_serde_json_reads(text in r#"[\[{}\],:"a01.e\\ truefalsn-]{0,24}"#) {
            let plain = serde_json::from_str::<Value>(&text).ok();
            let given = serde_json::from_str::<Given>(&text).ok().map(|given| given.value);
            prop_assert_eq!(plain, given);
        }
    }
}
