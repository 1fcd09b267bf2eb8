//! Quantities: `100m`, `1.5`, `128Mi`, `1e3` (apimachinery `api/resource`). Pure.

use serde_json::Value;

/// As [`milli`], for a quantity as objects carry it: a text, or a number.
pub fn of(value: &Value) -> Option<i64> {
    match value {
        Value::String(text) => milli(text),
        Value::Number(number) => milli(&number.to_string()),
        _ => None,
    }
}

/// A quantity in thousandths, rounded up; `None` if it is none.
pub fn milli(text: &str) -> Option<i64> {
    let end = text
        .find(|one: char| !matches!(one, '0'..='9' | '.' | '+' | '-'))
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let factor = factor(suffix)?;
    let negative = number.starts_with('-');
    let number = number.trim_start_matches(['+', '-']);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || digits.len() > 18 || fraction.contains('.') {
        return None;
    }
    let scale = 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let digits: i128 = digits.parse().ok()?;
    let (times, divided) = factor;
    let product = digits.checked_mul(times)?.checked_mul(1000)?;
    let value =
        product.div_euclid(scale * divided) + i128::from(product.rem_euclid(scale * divided) != 0);
    let value = i64::try_from(value).unwrap_or(i64::MAX);
    Some(if negative { -value } else { value })
}

/// By what to multiply and to divide.
fn factor(suffix: &str) -> Option<(i128, i128)> {
    let binary = |power: u32| Some((1_i128 << (10 * power), 1));
    let decimal = |power: u32| Some((10_i128.pow(3 * power), 1));
    match suffix {
        "" => Some((1, 1)),
        "n" => Some((1, 1_000_000_000)),
        "u" => Some((1, 1_000_000)),
        "m" => Some((1, 1000)),
        "k" => decimal(1),
        "M" => decimal(2),
        "G" => decimal(3),
        "T" => decimal(4),
        "P" => decimal(5),
        "E" => decimal(6),
        "Ki" => binary(1),
        "Mi" => binary(2),
        "Gi" => binary(3),
        "Ti" => binary(4),
        "Pi" => binary(5),
        "Ei" => binary(6),
        exponent => {
            let power: i32 = exponent.strip_prefix(['e', 'E'])?.parse().ok()?;
            let ten = 10_i128.checked_pow(power.unsigned_abs().min(18))?;
            Some(if power < 0 { (1, ten) } else { (ten, 1) })
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn all_spellings() {
        for (text, value) in [
            ("0", 0),
            ("100m", 100),
            ("1.5", 1500),
            ("0.0001", 1),
            ("2Ki", 2_048_000),
            ("1k", 1_000_000),
            ("1e3", 1_000_000),
            ("1E-1", 100),
            ("128974848", 128_974_848_000),
            ("500u", 1),
        ] {
            assert_eq!(milli(text), Some(value), "{text}");
        }
        for text in ["", "m", "1.2.3", "1 Gi", "x", "1KiB"] {
            assert_eq!(milli(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "[0-9.+-]{0,20}[a-zA-Z0-9]{0,4}") {
            let _ = milli(&text);
        }
    }
}
