//! YAML as kubectl writes it: keys in their order, lists no deeper than their key, and the same
//! quotes and line breaks as go-yaml's emitter (which is libyaml's, `emitterc.go`).
//!
//! Other emitters are as right, but people diff what two tools print.

mod scalar;

use std::cmp::Ordering;

use serde_json::Value;

use scalar::{Allowed, escaped, means_something_else};

/// A scalar that has come so far is broken at its next blank.
const BEST_WIDTH: usize = 80;
const INDENT: usize = 2;

/// One document, with a line end after it.
pub fn render(value: &Value) -> String {
    let mut emitter = Emitter {
        text: String::new(),
        column: 0,
    };
    match value {
        Value::Object(map) if !map.is_empty() => emitter.mapping(map, 0, false),
        Value::Array(items) if !items.is_empty() => emitter.sequence(items, 0, false),
        scalar => emitter.scalar(scalar, 0),
    }
    emitter.text
}

struct Emitter {
    text: String,
    column: usize,
}

impl Emitter {
    fn put(&mut self, text: &str) {
        self.text.push_str(text);
        self.column += text.chars().count();
    }

    fn new_line(&mut self, indent: usize) {
        self.text.push('\n');
        self.column = 0;
        self.put(&" ".repeat(indent));
    }

    fn end_line(&mut self) {
        self.text.push('\n');
        self.column = 0;
    }

    /// `begun`: its first line is, after a dash.
    fn mapping(&mut self, map: &serde_json::Map<String, Value>, indent: usize, mut begun: bool) {
        for (key, value) in in_order(map) {
            if !std::mem::replace(&mut begun, false) {
                self.put(&" ".repeat(indent));
            }
            self.text_scalar(key, indent, true);
            self.put(":");
            match value {
                Value::Object(inner) if !inner.is_empty() => {
                    self.end_line();
                    self.mapping(inner, indent + INDENT, false);
                }
                Value::Array(items) if !items.is_empty() => {
                    self.end_line();
                    self.sequence(items, indent, false);
                }
                scalar => {
                    self.put(" ");
                    self.scalar(scalar, indent);
                }
            }
        }
    }

    fn sequence(&mut self, items: &[Value], indent: usize, mut begun: bool) {
        for item in items {
            if !std::mem::replace(&mut begun, false) {
                self.put(&" ".repeat(indent));
            }
            self.put("- ");
            match item {
                Value::Object(map) if !map.is_empty() => self.mapping(map, indent + INDENT, true),
                Value::Array(items) if !items.is_empty() => {
                    self.sequence(items, indent + INDENT, true);
                }
                scalar => self.scalar(scalar, indent),
            }
        }
    }

    fn scalar(&mut self, value: &Value, indent: usize) {
        match value {
            Value::Object(_) => self.put("{}"),
            Value::Array(_) => self.put("[]"),
            Value::String(text) => return self.text_scalar(text, indent, false),
            other => self.put(&other.to_string()),
        }
        self.end_line();
    }

    /// A key is on one line, whatever its length, and no line ends after it.
    fn text_scalar(&mut self, text: &str, indent: usize, is_key: bool) {
        let may = Allowed::of(text);
        let indent = indent + INDENT;
        if text.contains('\n') && may.block && !is_key {
            return self.literal(text, indent);
        }
        if text.contains('\n') || means_something_else(text) {
            self.double_quoted(text, indent, is_key);
        } else if may.plain {
            self.broken_at_blanks(text, indent, is_key);
        } else if may.single_quoted {
            self.put("'");
            self.broken_at_blanks(&text.replace('\'', "''"), indent, is_key);
            self.put("'");
        } else {
            self.double_quoted(text, indent, is_key);
        }
        if !is_key {
            self.end_line();
        }
    }

    /// A single blank may become a line end; at a text's edges there is none that could.
    fn broken_at_blanks(&mut self, text: &str, indent: usize, is_key: bool) {
        let characters: Vec<char> = text.chars().collect();
        for (at, character) in characters.iter().enumerate() {
            if *character == ' ' && self.may_break(&characters, at, is_key) {
                self.new_line(indent);
            } else {
                self.put(character.encode_utf8(&mut [0; 4]));
            }
        }
    }

    fn may_break(&self, text: &[char], at: usize, is_key: bool) -> bool {
        let alone = at > 0 && text[at - 1] != ' ' && text.get(at + 1).is_some_and(|c| *c != ' ');
        !is_key && self.column > BEST_WIDTH && alone
    }

    fn double_quoted(&mut self, text: &str, indent: usize, is_key: bool) {
        let characters: Vec<char> = text.chars().collect();
        self.put("\"");
        let mut after_blank = false;
        for (at, character) in characters.iter().enumerate() {
            if *character != ' ' {
                self.put(&escaped(*character));
                after_blank = false;
                continue;
            }
            let inside = at > 0 && at + 1 < characters.len();
            if !is_key && !after_blank && self.column > BEST_WIDTH && inside {
                self.new_line(indent);
                if characters[at + 1] == ' ' {
                    self.put("\\");
                }
            } else {
                self.put(" ");
            }
            after_blank = true;
        }
        self.put("\"");
    }

    fn literal(&mut self, text: &str, indent: usize) {
        self.put("|");
        if text.starts_with([' ', '\n']) {
            self.put(&INDENT.to_string());
        }
        let body = match text.strip_suffix('\n') {
            None => {
                self.put("-");
                text
            }
            Some(body) => {
                if body.is_empty() || body.ends_with('\n') {
                    self.put("+");
                }
                body
            }
        };
        self.end_line();
        for line in body.split('\n') {
            if !line.is_empty() {
                self.put(&" ".repeat(indent));
                self.put(line);
            }
            self.end_line();
        }
    }
}

/// By insertion: numbers with leading zeros and letters can each come before the other in a circle,
/// which no other way of sorting puts up with.
fn in_order(map: &serde_json::Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut pairs: Vec<(&String, &Value)> = Vec::with_capacity(map.len());
    for pair in map {
        let before = pairs
            .iter()
            .rposition(|(key, _)| natural(key, pair.0) != Ordering::Greater);
        pairs.insert(before.map_or(0, |at| at + 1), pair);
    }
    pairs
}

/// Numbers inside keys count as numbers: `a2` before `a10`; letters come after what is none.
fn natural(a: &str, b: &str) -> Ordering {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let Some(at) = (0..a.len().min(b.len())).find(|at| a[*at] != b[*at]) else {
        return a.len().cmp(&b.len());
    };
    match (a[at].is_alphabetic(), b[at].is_alphabetic()) {
        (true, true) => return a[at].cmp(&b[at]),
        (true, false) => return Ordering::Greater,
        (false, true) => return Ordering::Less,
        (false, false) => {}
    }
    let after_number = |text: &[char]| {
        let digits = text[..at].iter().rev().take_while(|c| c.is_ascii_digit());
        digits.clone().any(|c| *c != '0')
    };
    // A zero inside a number counts; one that leads does not.
    let zero_counts = (a[at] == '0' || b[at] == '0') && after_number(&a);
    let number = |text: &[char]| {
        let digits: String = text[at..]
            .iter()
            .take_while(|c| c.is_ascii_digit())
            .collect();
        let digits = if zero_counts {
            format!("1{digits}")
        } else {
            digits
        };
        (digits.parse::<u64>().unwrap_or(0), digits.len())
    };
    number(&a).cmp(&number(&b)).then(a[at].cmp(&b[at]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn as_kubectl_writes_it() {
        let value = json!({
            "b": [{"x": 1, "w": []}, "plain", ["nested"]], "a": {}, "c": null,
            "texts": ["1", "true", "2026-11-24T11:00:00Z", "a: b", "it's", "- x", "", "<none>", "1:30"],
            "lines": "one\n  two\n", "cut": "no end\nhere",
        });
        assert_eq!(
            render(&value),
            "a: {}\nb:\n- w: []\n  x: 1\n- plain\n- - nested\nc: null\ncut: |-\n  no end\n  here\n\
             lines: |\n  one\n    two\ntexts:\n- \"1\"\n- \"true\"\n- \"2026-11-24T11:00:00Z\"\n\
             - 'a: b'\n- it's\n- '- x'\n- \"\"\n- <none>\n- \"1:30\"\n"
        );
        let long = json!({"a": "word ".repeat(30).trim_end()});
        assert!(render(&long).contains("word\n  word"), "{}", render(&long));
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let text = prop_oneof![
            "[a-z0-9:# '\"\\\\\n\t.,_-]{0,12}",
            "([a-z]{1,9} {1,2}){10,30}",
            "[0-9.eExob:+_-]{1,8}",
            "\\PC{0,6}",
        ];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            text.clone().prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 12, 4, move |inner| {
            let pairs = prop::collection::vec(("[a-zA-Z0-9./-]{1,8}", inner.clone()), 0..4);
            prop_oneof![
                prop::collection::vec(inner, 0..4).prop_map(Value::from),
                pairs.prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(value in any_value()) {
            let text = render(&value);
            let read: Value = serde_saphyr::from_str(&text).unwrap_or_else(|e| panic!("{e}\n{text}"));
            prop_assert_eq!(read, value, "{}", text);
        }
    }
}
