//! `--sort-by`: objects in the order of what a path finds in them.

use std::cmp::Ordering;

use anyhow::bail;
use serde_json::Value;

use super::print::jsonpath::Template;
use crate::server::Quantity;

/// Those without a value come first.
///
/// # Errors
/// None has one.
pub fn by<T>(
    path: &Template,
    items: &mut Vec<T>,
    object: impl Fn(&T) -> &Value,
) -> anyhow::Result<()> {
    let mut keyed = Vec::with_capacity(items.len());
    for item in items.drain(..) {
        let key = path
            .values(object(&item))?
            .first()
            .map(|value| (*value).clone());
        keyed.push((key, item));
    }
    if !keyed.is_empty() && keyed.iter().all(|(key, _)| key.is_none()) {
        let path = path.source();
        bail!("couldn't find any field with path {path:?} in the list of objects");
    }
    keyed.sort_by(|(a, _), (b, _)| match (a, b) {
        (Some(a), Some(b)) => compare(a, b),
        (a, b) => a.is_some().cmp(&b.is_some()),
    });
    items.extend(keyed.into_iter().map(|(_, item)| item));
    Ok(())
}

fn compare(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::String(a), Value::String(b)) => match (Quantity::parse(a), Quantity::parse(b)) {
            (Some(a), Some(b)) => a.cmp(&b),
            _ => natural(a, b),
        },
        (Value::Number(a), Value::Number(b)) => {
            let (a, b) = (a.as_f64(), b.as_f64());
            a.partial_cmp(&b).unwrap_or(Ordering::Equal)
        }
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        _ => Ordering::Equal,
    }
}

/// Digits count as the number they make: `web-2` before `web-10`.
fn natural(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a, b);
    loop {
        let (Some(x), Some(y)) = (a.chars().next(), b.chars().next()) else {
            return a.len().cmp(&b.len());
        };
        let digits =
            |text: &str| text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (in_a, in_b) = (digits(a), digits(b));
        if in_a > 0 && in_b > 0 {
            let (x, y) = (&a[..in_a], &b[..in_b]);
            let bare = |text: &str| text.trim_start_matches('0').to_owned();
            let (shorter, longer) = (bare(x), bare(y));
            let order = shorter
                .len()
                .cmp(&longer.len())
                .then(shorter.cmp(&longer))
                .then(in_a.cmp(&in_b));
            if order != Ordering::Equal {
                return order;
            }
            (a, b) = (&a[in_a..], &b[in_b..]);
        } else if (in_a > 0) != (in_b > 0) {
            // A number comes before all that is none.
            return in_b.cmp(&in_a);
        } else if x != y {
            return x.cmp(&y);
        } else {
            (a, b) = (&a[x.len_utf8()..], &b[y.len_utf8()..]);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_count_as_numbers_and_the_missing_come_first() {
        let sorted = |path: &str, values: Value| {
            let mut items = values.as_array().expect("a list").clone();
            by(
                &Template::relaxed(path).expect("a path"),
                &mut items,
                |item| item,
            )
            .expect("sorted");
            Value::Array(items)
        };
        let names = json!([{"n": "web-10"}, {"n": "web-2"}, {"m": 1}, {"n": "a"}]);
        assert_eq!(
            sorted("n", names),
            json!([{"m": 1}, {"n": "a"}, {"n": "web-2"}, {"n": "web-10"}])
        );
        let sizes = json!([{"n": "1Gi"}, {"n": "500Mi"}, {"n": "2k"}]);
        assert_eq!(
            sorted("n", sizes),
            json!([{"n": "2k"}, {"n": "500Mi"}, {"n": "1Gi"}])
        );
        let mut none = vec![json!({}), json!({})];
        assert!(
            by(
                &Template::relaxed("n").expect("a path"),
                &mut none,
                |item| item
            )
            .is_err()
        );
    }
}
