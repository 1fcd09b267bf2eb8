//! Patches: any document, patched by any other, is refused or becomes a document.

use serde_json::Value;

use super::Patch;
use crate::server::authorize::Restriction;
use crate::server::object;
use crate::server::request::Options;
use crate::server::rest::fuzzing::{can_be_kept, resource_of};
use crate::server::rest::{Scope, body, finish_update};

/// An object in the first line, and in each that follows a patch of what came of it so far, which
/// is taken for whatever kind of patch it can be.
pub fn patch(input: &[u8]) {
    let mut lines = input.split(|byte| *byte == b'\n');
    let first = lines.next().unwrap_or_default();
    let Ok(mut live) = serde_json::from_slice::<Value>(first) else {
        return;
    };
    let resource = resource_of(&live);
    if body::claim(&mut live, resource.kind, &resource.api_version()).is_err() {
        return;
    }
    let scope = Scope {
        resource,
        namespace: Some(object::namespace(&live).to_owned()),
        name: Some(object::name(&live).to_owned()),
        subresource: None,
        options: Options::default(),
        restriction: Restriction::default(),
    };
    for line in lines.take(4) {
        let mut next = live.clone();
        for kind in ["json-patch", "merge-patch", "strategic-merge-patch"] {
            let media_type = format!("application/{kind}+json");
            if let Some(patched) = patched(&scope, &live, &media_type, line) {
                // The other kinds know no directives: there such a name is one like others.
                if kind == "strategic-merge-patch" {
                    is_clean(&scope, &live, &patched);
                }
                // It is refused or not, after all that a changed object goes through.
                let _ = finish_update(scope.resource, &live, patched.clone());
                if kind != "json-patch" {
                    let again = self::patched(&scope, &patched, &media_type, line);
                    assert_eq!(again.as_ref(), Some(&patched), "{media_type}, twice");
                }
                next = patched;
            }
        }
        live = next;
    }
}

fn patched(scope: &Scope, live: &Value, media_type: &str, patch: &[u8]) -> Option<Value> {
    let run = || {
        let patch = Patch::parse(media_type, patch)?;
        patch.apply(scope, live.clone()).map(|(patched, _)| patched)
    };
    let said = |error: crate::server::status::ApiError| error.status().to_string();
    let (one, other) = (run().map_err(said), run().map_err(said));
    let text = |result: &Result<Value, String>| {
        result.as_ref().map(Value::to_string).map_err(String::clone)
    };
    assert_eq!(text(&one), text(&other), "the same makes the same");
    let patched = one.ok()?;
    assert!(patched.to_string().len() <= body::LIMIT_BYTES);
    can_be_kept(&patched);
    Some(patched)
}

/// No directive is left in what a patch made of an object without one.
fn is_clean(scope: &Scope, live: &Value, patched: &Value) {
    // A revision's data is anything at all.
    let is_typed = scope.resource.kind != "ControllerRevision";
    assert!(
        has_directive(live) || !is_typed || !has_directive(patched),
        "{patched}"
    );
}

fn has_directive(value: &Value) -> bool {
    const DIRECTIVES: [&str; 4] = [
        "$patch",
        "$retainKeys",
        "$deleteFromPrimitiveList/",
        "$setElementOrder/",
    ];
    let is_one = |key: &String| {
        DIRECTIVES
            .iter()
            .any(|directive| key.starts_with(directive))
    };
    match value {
        Value::Object(map) => map.keys().any(is_one) || map.values().any(has_directive),
        Value::Array(list) => list.iter().any(has_directive),
        _ => false,
    }
}
