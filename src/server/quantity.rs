//! Quantities: `100m`, `1.5`, `128Mi`, `1e3` (apimachinery `api/resource`): what they come to, and
//! how Kubernetes writes them. Pure.

use std::fmt;
use std::ops::AddAssign;

use serde_json::Value;

/// What Kubernetes' largest has, 2^63, with its billionths.
const DIGITS: usize = 28;
const NANO: i128 = 1_000_000_000;
const BINARY: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
const DECIMAL: [&str; 10] = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];
/// Where the one itself stands among the decimal suffixes.
const ONE: usize = 3;

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
    let written = Written::parse(text)?;
    let milli = i64::try_from(written.times(1000)?).unwrap_or(i64::MAX);
    Some(if written.negative { -milli } else { milli })
}

/// A quantity as Kubernetes writes it: without a fraction, and with the largest suffix of its kind;
/// a fraction of a byte makes a decimal of it. `None` if it is none, or too large to tell.
pub fn canonical(text: &str) -> Option<String> {
    Some(Quantity::parse(text)?.to_string())
}

/// One that can be compared and added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Quantity {
    nanos: i128,
    form: Form,
}

/// With which suffixes it is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Form {
    #[default]
    Decimal,
    Binary,
    Exponent,
}

impl Quantity {
    /// `None` if the text is no quantity, or too large a one. What is smaller than a billionth
    /// counts as one.
    pub fn parse(text: &str) -> Option<Quantity> {
        let written = Written::parse(text)?;
        let nanos = written.times(NANO)?;
        Some(Quantity {
            nanos: if written.negative { -nanos } else { nanos },
            form: written.form,
        })
    }

    /// How many hundredths of `whole` it is, cut off.
    pub fn percent_of(self, whole: Quantity) -> i128 {
        match whole.nanos {
            0 => 0,
            whole => self.nanos * 100 / whole,
        }
    }

    /// How often `unit` goes into it, rounded up; a unit of zero is one.
    pub fn times(self, unit: Quantity) -> i128 {
        let unit = if unit.nanos == 0 { NANO } else { unit.nanos };
        divided_up(self.nanos, unit)
    }

    pub fn is_positive(self) -> bool {
        self.nanos > 0
    }

    /// Small ones would lose their fraction.
    fn is_binary(self) -> bool {
        self.form == Form::Binary && self.nanos.abs() >= 1024 * NANO
    }
}

impl AddAssign for Quantity {
    /// Zero takes the other's form.
    fn add_assign(&mut self, other: Quantity) {
        if self.nanos == 0 {
            self.form = other.form;
        }
        self.nanos += other.nanos;
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nanos == 0 {
            return f.write_str("0");
        }
        let sign = if self.nanos < 0 { "-" } else { "" };
        let nanos = self.nanos.abs();
        if self.is_binary() && nanos % NANO == 0 {
            let (number, power) = divided(nanos / NANO, 1024, BINARY.len());
            return write!(f, "{sign}{number}{}", BINARY[power]);
        }
        let (number, power) = divided(nanos, 1000, DECIMAL.len());
        if self.form == Form::Exponent && power != ONE {
            let exponent = 3 * (power.cast_signed() - ONE.cast_signed());
            return write!(f, "{sign}{number}e{exponent}");
        }
        write!(f, "{sign}{number}{}", DECIMAL[power])
    }
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

fn divided_up(number: i128, by: i128) -> i128 {
    -(-number).div_euclid(by)
}

/// A quantity's parts.
struct Written {
    negative: bool,
    digits: i128,
    /// By what to multiply and to divide the digits, for the point among them and for the suffix.
    multiplied: i128,
    divided: i128,
    form: Form,
}

impl Written {
    fn parse(text: &str) -> Option<Written> {
        let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
        let end = unsigned
            .find(|one: char| !matches!(one, '0'..='9' | '.'))
            .unwrap_or(unsigned.len());
        let (number, suffix) = unsigned.split_at(end);
        let (multiplied, divided, form) = scale(suffix)?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let digits = format!("{whole}{fraction}");
        if digits.len() > DIGITS {
            return None;
        }
        let places = u32::try_from(fraction.len()).ok()?;
        Some(Written {
            negative: text.starts_with('-'),
            digits: digits.parse().ok()?,
            multiplied,
            divided: divided.checked_mul(10_i128.checked_pow(places)?)?,
            form,
        })
    }

    /// So many times its amount, rounded up and without its sign.
    fn times(&self, times: i128) -> Option<i128> {
        let product = self
            .digits
            .checked_mul(self.multiplied)?
            .checked_mul(times)?;
        Some(divided_up(product, self.divided))
    }
}

/// By what to multiply and to divide, and how such a number is written.
fn scale(suffix: &str) -> Option<(i128, i128, Form)> {
    let at = |suffixes: &[&str]| suffixes.iter().position(|known| *known == suffix);
    let power = |base: i128, power: usize| base.checked_pow(u32::try_from(power).ok()?);
    if let Some(at) = at(&DECIMAL) {
        let (above, below) = (at.saturating_sub(ONE), ONE.saturating_sub(at));
        return Some((power(1000, above)?, power(1000, below)?, Form::Decimal));
    }
    if let Some(at) = at(&BINARY) {
        return Some((power(1024, at)?, 1, Form::Binary));
    }
    let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
    let ten = 10_i128.checked_pow(exponent.unsigned_abs().min(18))?;
    Some(match exponent < 0 {
        true => (1, ten, Form::Exponent),
        false => (ten, 1, Form::Exponent),
    })
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
            ("-0.0001", -1),
            // Too large for what follows, but a quantity.
            ("100000000000E", i64::MAX),
        ] {
            assert_eq!(milli(text), Some(value), "{text}");
        }
        for text in [
            "", "m", "1.2.3", "1 Gi", "x", "1KiB", "1-2", "--1", "+-1", "1-",
        ] {
            assert_eq!(milli(text), None, "{text}");
            assert_eq!(canonical(text), None, "{text}");
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
            ("100Mi", "100Mi"),
            ("1024Ki", "1Mi"),
            ("1.5Gi", "1536Mi"),
            ("1000Mi", "1000Mi"),
            ("0.5Ki", "512"),
            ("1.953125Ki", "2000"),
            ("1.6Gi", "1717986918400m"),
            ("-1.6Gi", "-1717986918400m"),
            ("0.1Ki", "102400m"),
            ("8388607.123456789Ti", "9223371073085323065388171264n"),
            ("1e3", "1e3"),
            ("1E1", "10"),
            ("5E", "5E"),
            ("-1", "-1"),
            ("-200m", "-200m"),
            ("+1", "1"),
        ] {
            assert_eq!(canonical(text).as_deref(), Some(written), "{text}");
            let quantity = Quantity::parse(text).map(|one| one.to_string());
            assert_eq!(quantity.as_deref(), Some(written), "{text}");
        }
    }

    #[test]
    fn quantities_add_up() {
        let mut sum = Quantity::default();
        for text in ["64Mi", "64Mi"] {
            sum += Quantity::parse(text).expect(text);
        }
        assert_eq!(sum.to_string(), "128Mi");
        let whole = Quantity::parse("1Gi").expect("a quantity");
        assert_eq!(sum.percent_of(whole), 12);
        assert_eq!(sum.percent_of(Quantity::default()), 0);
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
            prop_assert_eq!(milli(&text), milli(&written), "{} is {}", text, &written);
            // Without a suffix nothing tells a binary one from a decimal one, in Kubernetes either.
            let lost = suffix.ends_with('i') && written.ends_with(|last: char| last.is_ascii_digit());
            prop_assert!(lost || canonical(&written).unwrap() == written, "{} stays", written);
        }

        #[test]
        fn a_quantity_is_written_to_the_billionth(
            text in "[0-9]{1,9}(\\.[0-9]{1,3})?(m|k|M|)|[0-9]{1,9}(Ki|Mi|Gi)",
        ) {
            let quantity = Quantity::parse(&text).expect("a quantity");
            let again = Quantity::parse(&quantity.to_string()).expect("a quantity");
            prop_assert_eq!(again.nanos, quantity.nanos);
        }

        #[test]
        fn nothing_panics(text in "[0-9.+-]{0,20}[a-zA-Z0-9]{0,4}") {
            let _ = (milli(&text), canonical(&text));
        }
    }
}
