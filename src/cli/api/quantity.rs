//! Kubernetes' quantities: adding them up, and writing them as kubectl does
//! (`apimachinery/pkg/api/resource`).

use std::fmt;
use std::ops::AddAssign;

/// As long as no number has more digits, everything here is exact.
const DIGITS: usize = 18;
const NANO: i128 = 1_000_000_000;

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
    /// `None` if the text is no quantity.
    pub fn parse(text: &str) -> Option<Quantity> {
        let end = text
            .find(|one: char| !matches!(one, '0'..='9' | '.' | '+' | '-'))
            .unwrap_or(text.len());
        let (number, suffix) = text.split_at(end);
        let (times, divided, form) = scale(suffix)?;
        let digits = number.strip_prefix(['+', '-']).unwrap_or(number);
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let all = format!("{whole}{fraction}");
        if all.is_empty() || all.len() > DIGITS {
            return None;
        }
        let places = 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
        let product = all
            .parse::<i128>()
            .ok()?
            .checked_mul(times)?
            .checked_mul(NANO)?;
        // What is smaller than a billionth counts as one.
        let nanos = -(-product).div_euclid(places * divided);
        let nanos = if number.starts_with('-') {
            -nanos
        } else {
            nanos
        };
        Some(Quantity { nanos, form })
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
        -(-self.nanos).div_euclid(unit)
    }

    pub fn is_positive(self) -> bool {
        self.nanos > 0
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
        if self.form == Form::Binary && nanos % NANO == 0 && nanos >= 1024 * NANO {
            let mut number = nanos / NANO;
            let mut power = 0;
            while number % 1024 == 0 && power < 6 {
                number /= 1024;
                power += 1;
            }
            let suffix = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"][power];
            return write!(f, "{sign}{number}{suffix}");
        }
        let mut number = nanos;
        let mut power = 0;
        while number % 1000 == 0 && power < 9 {
            number /= 1000;
            power += 1;
        }
        if self.form == Form::Exponent && power != 3 {
            let exponent = i64::try_from(power).map_or(0, |power| power * 3 - 9);
            return write!(f, "{sign}{number}e{exponent}");
        }
        let suffix = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"][power];
        write!(f, "{sign}{number}{suffix}")
    }
}

/// By what to multiply and to divide, and how such a number is written.
fn scale(suffix: &str) -> Option<(i128, i128, Form)> {
    const DECIMAL: [&str; 7] = ["", "k", "M", "G", "T", "P", "E"];
    const BINARY: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    const SMALL: [&str; 4] = ["", "m", "u", "n"];
    let power = |suffixes: &[&str], base: i128| {
        let power = suffixes.iter().position(|known| *known == suffix)?;
        base.checked_pow(u32::try_from(power).ok()?)
    };
    if let Some(times) = power(&DECIMAL, 1000) {
        return Some((times, 1, Form::Decimal));
    }
    if let Some(times) = power(&BINARY, 1024) {
        return Some((times, 1, Form::Binary));
    }
    if let Some(divided) = power(&SMALL, 1000) {
        return Some((1, divided, Form::Decimal));
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
    fn one_way_of_writing_each() {
        for (text, written) in [
            ("0", "0"),
            ("0.5", "500m"),
            ("1000m", "1"),
            ("1024Ki", "1Mi"),
            ("1536Mi", "1536Mi"),
            ("2000", "2k"),
            ("1.5Gi", "1536Mi"),
            ("100Mi", "100Mi"),
            ("1e3", "1e3"),
            ("-1", "-1"),
        ] {
            let quantity = Quantity::parse(text).expect(text);
            assert_eq!(quantity.to_string(), written, "{text}");
        }
        for text in ["", "m", "1.2.3", "1 Gi", "x", "1KiB", "1-2"] {
            assert_eq!(Quantity::parse(text), None, "{text}");
        }
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
        fn what_is_written_is_the_same_quantity(text in "[0-9]{1,9}(\\.[0-9]{1,3})?(m|k|M|)|[0-9]{1,9}(Ki|Mi|Gi)") {
            let quantity = Quantity::parse(&text).expect("a quantity");
            let again = Quantity::parse(&quantity.to_string()).expect("a quantity");
            prop_assert_eq!(again.nanos, quantity.nanos);
        }
    }
}
