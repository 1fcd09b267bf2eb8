//! Server-side apply: what is applied is there, it is there after one time as after two, and who
//! owns what is told alike by whoever wrote it and by whoever reads it.

use serde_json::Value;

use super::fields::{Fields, Shape};
use super::managers::{Manager, Managers, track, track_new};
use super::{Application, merge};
use crate::server::object;
use crate::server::request::FieldValidation;
use crate::server::resource::Resource;
use crate::server::rest::body;
use crate::server::rest::fuzzing::{can_be_kept, resource_of};
use crate::server::schema::Type;
use crate::server::status::ApiError;

const NOW: &str = "2026-01-01T00:00:00Z";
const MOST_TURNS: usize = 8;

/// An object in each line: two clients apply one each, a third updates to the next, and so on.
pub fn apply(input: &[u8]) {
    let mut live = Value::Null;
    let lines = input.split(|byte| *byte == b'\n').take(MOST_TURNS);
    for (turn, line) in lines.enumerate() {
        let Some((resource, config)) = config(line) else {
            continue;
        };
        if !live.is_null() && !std::ptr::eq(resource_of(&live), resource) {
            continue;
        }
        let name = ["one", "two", "three"][turn % 3].to_owned();
        let by = Manager::updater(name, resource, None);
        live = match turn % 3 {
            2 => updated(resource, &live, config, &by),
            _ => applied(resource, &live, &config, &by.applier()),
        };
        if live.is_null() {
            continue;
        }
        let managers = Managers::of(&live);
        can_be_kept(&live);
        let mut stored = live.clone();
        managers.store(&mut stored);
        assert_eq!(stored, live, "owners are told as they are read");
    }
}

/// As the verb reads it.
fn config(line: &[u8]) -> Option<(&'static Resource, Value)> {
    let mut given = body::yaml(line).ok()?;
    let resource = resource_of(&given.value);
    body::claim(&mut given.value, resource.kind, &resource.api_version()).ok()?;
    body::decode(resource, &mut given, FieldValidation::Warn).ok()?;
    let mut config = given.value;
    object::metadata(&mut config).shift_remove("managedFields");
    Some((resource, config))
}

fn applied(resource: &'static Resource, live: &Value, config: &Value, by: &Manager) -> Value {
    let onto = |live: &Value, force: bool| {
        let application = Application {
            resource,
            subresource: None,
            config,
            by,
            force,
            now: NOW.into(),
        };
        application.onto(live.clone())
    };
    let new = match onto(live, false) {
        Err(ApiError::ApplyConflict { conflicts, .. }) => {
            assert!(!conflicts.is_empty());
            onto(live, true)
        }
        // Something is in a list twice.
        Err(ApiError::BadRequest(_)) => return live.clone(),
        other => other,
    };
    let new = new.expect("an object");
    let again = onto(&new, false).expect("no conflict with what is there");
    assert_eq!(again, new, "a second time changes nothing");
    let shape = Shape::object(Type::of(resource));
    assert_eq!(
        merge::merge(new.clone(), config, shape),
        new,
        "what is applied is there"
    );
    let owned = Managers::of(&new).fields_of(by);
    is_in(&owned, &Fields::of(&new, shape));
    new
}

fn updated(resource: &'static Resource, live: &Value, mut new: Value, by: &Manager) -> Value {
    if live.is_null() {
        track_new(resource, &mut new, by, NOW);
        return new;
    }
    track(resource, live, &mut new, by, NOW);
    let mut again = new.clone();
    track(resource, &new, &mut again, by, NOW);
    assert_eq!(again, new, "no change has no owner");
    let all = Fields::of(&new, Shape::object(Type::of(resource)));
    for entry in Managers::of(&new).0 {
        is_in(&entry.fields, &all);
    }
    new
}

fn is_in(owned: &Fields, all: &Fields) {
    for (branch, fields) in &owned.below {
        let there = all.below.get(branch);
        let there = there.unwrap_or_else(|| panic!("{branch} is owned and not there"));
        is_in(fields, there);
    }
}
