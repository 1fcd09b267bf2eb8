//! JSON patches (RFC 6902), within bounds.
//!
//! With `copy` and `move` a few lines can ask for more memory than there is, or for values nested
//! more deeply than any stack: both double with every line. So what copies add is counted, as
//! kube-apiserver does, and no value is ever nested much more deeply than one that can be parsed.

use std::io::{self, Write};

use json_patch::{Patch, PatchOperation};
use serde_json::Value;

use crate::server::rest::body::LIMIT_BYTES;
use crate::server::status::ApiError;

/// As kube-apiserver.
const MOST_OPERATIONS: usize = 10_000;
/// What serde_json parses.
const DEEPEST: usize = 127;
/// What may arise on the way. Far from what a thread's stack holds.
const DEEPEST_EVER: usize = 4 * DEEPEST;

/// Which operation failed: its path, and why.
pub struct Failure {
    pub path: String,
    pub detail: String,
}

pub fn check_length(patch: &Patch) -> Result<(), ApiError> {
    match patch.0.len() {
        ..=MOST_OPERATIONS => Ok(()),
        length => Err(ApiError::TooLarge(format!(
            "The allowed maximum operations in a JSON patch is {MOST_OPERATIONS}, got {length}"
        ))),
    }
}

/// Changes `value`, which is worth nothing after a failure.
pub fn apply(value: &mut Value, patch: &Patch) -> Result<(), Failure> {
    let mut copied = 0;
    // An upper bound, made exact whenever it becomes too high to be of use.
    let mut depth = DEEPEST;
    for (index, operation) in patch.0.iter().enumerate() {
        let failed = |detail: String| Failure {
            path: operation.path().to_string(),
            detail: format!("operation {index}: {detail}"),
        };
        if let PatchOperation::Copy(copy) = operation {
            copied += value.pointer(copy.from.as_str()).map_or(0, bytes_of);
            if copied > LIMIT_BYTES {
                return Err(failed(format!(
                    "Unable to complete the copy, the accumulated size increase of copy is \
                     {copied}, exceeding the limit {LIMIT_BYTES}"
                )));
            }
        }
        // Nothing outlives a failure, so nothing has to be undone.
        json_patch::patch_unsafe(value, std::slice::from_ref(operation))
            .map_err(|error| failed(error.kind.to_string()))?;
        // Neither what was there nor what the patch brings along is deeper by itself.
        depth = depth.max(DEEPEST) + operation.path().tokens().count();
        if depth > DEEPEST_EVER || index + 1 == patch.0.len() {
            depth = depth_of(value);
            if depth > DEEPEST {
                return Err(failed(format!("the result is nested {depth} levels deep")));
            }
        }
    }
    Ok(())
}

/// Of the value as JSON.
pub fn bytes_of(value: &Value) -> usize {
    let mut counter = Counter(0);
    // A counter takes everything, and a `Value` is always JSON.
    let _ = serde_json::to_writer(&mut counter, value);
    counter.0
}

struct Counter(usize);

impl Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn depth_of(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth_of).max().unwrap_or(0),
        Value::Object(map) => 1 + map.values().map(depth_of).max().unwrap_or(0),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn run(operations: Vec<Value>) -> Result<Value, String> {
        let patch = serde_json::from_value(operations.into()).expect("a patch");
        let mut value = json!({"a": {"b": "x".repeat(1000)}});
        apply(&mut value, &patch)
            .map(|()| value)
            .map_err(|failure| format!("{}: {}", failure.path, failure.detail))
    }

    #[test]
    fn copies_that_double_are_stopped() {
        let copy = |n: usize| json!({"op": "copy", "from": "/a", "path": format!("/a/{n}")});
        let twice = run((0..2).map(copy).collect()).expect("some are fine");
        assert_eq!(twice["a"]["1"]["0"], twice["a"]["0"]);
        let refused = run((0..64).map(copy).collect()).expect_err("2^64 kilobytes");
        assert!(refused.contains("exceeding the limit 3145728"), "{refused}");
    }

    #[test]
    fn values_do_not_become_too_deep_for_a_stack() {
        let bury = |_| {
            [
                json!({"op": "move", "from": "/a", "path": "/t"}),
                json!({"op": "add", "path": "/a", "value": {}}),
                json!({"op": "move", "from": "/t", "path": "/a/b"}),
            ]
        };
        assert!(run((0..20).flat_map(bury).collect()).is_ok());
        let deep = |levels| (0..levels).fold(json!({}), |inside, _| json!({"b": inside}));
        let append = |n: usize| {
            let path = format!("/a{}", "/b".repeat(n * 100));
            json!({"op": "add", "path": path, "value": deep(100)})
        };
        for refused in [
            run((0..200).flat_map(bury).collect()),
            run((0..3_000).flat_map(bury).collect()),
            run((0..150).map(append).collect()),
        ] {
            let refused = refused.expect_err("too deep");
            assert!(refused.contains("levels deep"), "{refused}");
        }
    }

    #[test]
    fn a_failure_names_its_operation() {
        let test = json!({"op": "test", "path": "/a/b", "value": 1});
        let refused = run(vec![json!({"op": "add", "path": "/c", "value": 1}), test]);
        let refused = refused.expect_err("another value");
        assert!(refused.starts_with("/a/b: operation 1: "), "{refused}");
    }

    #[test]
    fn there_is_an_end_to_operations() {
        let patch = |length| {
            let one = json!({"op": "test", "path": "/a", "value": 1});
            serde_json::from_value(vec![one; length].into()).expect("a patch")
        };
        assert!(check_length(&patch(MOST_OPERATIONS)).is_ok());
        let refused = check_length(&patch(MOST_OPERATIONS + 1)).expect_err("one more");
        assert_eq!(refused.code(), 413);
    }
}
