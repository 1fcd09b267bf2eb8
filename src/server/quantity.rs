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
    let quantity = Quantity::parse(text)?;
    let milli = i64::try_from(quantity.times(1000)?).unwrap_or(i64::MAX);
    Some(if quantity.negative { -milli } else { milli })
}

/// A quantity as Kubernetes writes it: without a fraction, and with the largest suffix of its kind.
/// `None` if it is none, or too large to tell.
pub fn canonical(text: &str) -> Option<String> {
    const NANO: i128 = 1_000_000_000;
    const BINARY: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    const DECIMAL: [&str; 10] = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];
    let quantity = Quantity::parse(text)?;
    let sign = if quantity.negative { "-" } else { "" };
    let nano = quantity.times(NANO)?;
    // Small ones would lose their fraction.
    let nano = match quantity.is_binary() && nano >= 1024 * NANO {
        true => {
            let bytes = quantity.times(1)?;
            let (number, power) = divided(bytes, 1024, BINARY.len());
            if power > 0 {
                return Some(format!("{sign}{number}{}", BINARY[power]));
            }
            bytes.checked_mul(NANO)?
        }
        false => nano,
    };
    Some(match divided(nano, 1000, DECIMAL.len()) {
        (0, _) => "0".to_owned(),
        // The fourth is the one itself.
        (number, 3) => format!("{sign}{number}"),
        (number, power) if quantity.has_exponent() => {
            format!("{sign}{number}e{}", 3 * power.cast_signed() - 9)
        }
        (number, power) => format!("{sign}{number}{}", DECIMAL[power]),
    })
}

/// A number without the factors `base` it has, and how many they were, less than `most`.
fn divided(mut number: i128, base: i128, most: usize) -> (i128, usize) {
    let mut power = 0;
    while number != 0 && number % base == 0 && power + 1 < most {
        number /= base;
        power += 1;
    }
    (number, power)
}

/// A quantity's parts.
struct Quantity<'a> {
    negative: bool,
    digits: i128,
    /// By what to divide the digits, for the point among them.
    scale: i128,
    suffix: &'a str,
    factor: (i128, i128),
}

impl Quantity<'_> {
    fn parse(text: &str) -> Option<Quantity<'_>> {
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
        Some(Quantity {
            negative,
            digits: digits.parse().ok()?,
            scale: 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?,
            suffix,
            factor,
        })
    }

    /// So many times its amount, rounded up and without its sign.
    fn times(&self, times: i128) -> Option<i128> {
        let (multiplied, divided) = self.factor;
        let product = self.digits.checked_mul(multiplied)?.checked_mul(times)?;
        let by = self.scale.checked_mul(divided)?;
        Some(product.div_euclid(by) + i128::from(product.rem_euclid(by) != 0))
    }

    fn is_binary(&self) -> bool {
        self.suffix.ends_with('i')
    }

    fn has_exponent(&self) -> bool {
        self.suffix.len() > 1 && self.suffix.starts_with(['e', 'E'])
    }
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

    #[test]
    fn quantities_are_written_as_kubernetes_writes_them() {
        for (text, written) in [
            ("0", "0"),
            ("0.0", "0"),
            ("1", "1"),
            ("1000m", "1"),
            ("0.5", "500m"),
            ("1500m", "1500m"),
            ("0.1m", "100u"),
            ("2000", "2k"),
            ("128974848", "128974848"),
            ("1024Ki", "1Mi"),
            ("1.5Gi", "1536Mi"),
            ("1000Mi", "1000Mi"),
            ("0.5Ki", "512"),
            ("1.953Ki", "2k"),
            ("1e3", "1e3"),
            ("1E1", "10"),
            ("5E", "5E"),
            ("-200m", "-200m"),
            ("+1", "1"),
        ] {
            assert_eq!(canonical(text).as_deref(), Some(written), "{text}");
        }
        assert_eq!(canonical("1 Gi"), None);
    }

    proptest! {
        #[test]
        fn what_is_written_means_the_same_and_stays(
            digits in 0_i64..10_000_000, point in 0_usize..4,
            suffix in prop::sample::select(vec!["", "m", "k", "M", "G", "Ki", "Mi", "Gi", "e3", "E-2"]),
        ) {
            let mut text = format!("{digits:04}");
            text.insert(text.len() - point, '.');
            let text = format!("{text}{suffix}");
            let written = canonical(&text).unwrap();
            // A fraction of a byte is another byte.
            let (meant, says) = (milli(&text).unwrap(), milli(&written).unwrap());
            let rounded = if suffix.ends_with('i') { 1000 } else { 1 };
            prop_assert!((meant..=meant.saturating_add(rounded - 1)).contains(&says), "{} is {}", text, &written);
            prop_assert_eq!(canonical(&written).unwrap(), written);
        }

        #[test]
        fn nothing_panics(text in "[0-9.+-]{0,20}[a-zA-Z0-9]{0,4}") {
            let _ = (milli(&text), canonical(&text));
        }
    }
}
