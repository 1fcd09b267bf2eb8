//! What a text has to be written as, so that it is read as a text again.

/// In which styles a text can be written at all.
pub struct Allowed {
    pub plain: bool,
    pub single_quoted: bool,
    pub block: bool,
}

impl Allowed {
    pub fn of(text: &str) -> Allowed {
        let edge = text.starts_with([' ', '\n']) || text.ends_with([' ', '\n']);
        let special = !text.chars().all(|c| c == '\n' || is_printable(c));
        // A blank before a line end would be lost, and so would one after it be.
        let blank_at_end = text.contains(" \n") || special;
        let blank_at_start = text.contains("\n ");
        Allowed {
            plain: !edge && !blank_at_end && !blank_at_start && !has_indicators(text),
            single_quoted: !blank_at_end && !blank_at_start,
            block: !blank_at_end && !text.ends_with(' ') && !text.is_empty(),
        }
    }
}

fn is_printable(character: char) -> bool {
    matches!(character,
        ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fefe}' | '\u{ff00}'..='\u{fffd}')
        && !matches!(character, '\u{2028}' | '\u{2029}')
}

/// Whether some character would begin something else than a text (YAML 1.1 §5.3).
fn has_indicators(text: &str) -> bool {
    let characters: Vec<char> = text.chars().collect();
    let ends_word = |at: usize| {
        characters
            .get(at)
            .is_none_or(|c| matches!(c, ' ' | '\t' | '\n'))
    };
    let first = match characters.first() {
        Some(
            '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%'
            | '@' | '`',
        ) => true,
        Some('-' | '?' | ':') => ends_word(1),
        _ => false,
    };
    let inside = characters
        .iter()
        .enumerate()
        .skip(1)
        .any(|(at, c)| match c {
            ':' => ends_word(at + 1),
            '#' => matches!(characters[at - 1], ' ' | '\t' | '\n'),
            _ => false,
        });
    first || inside || text.starts_with("---") || text.starts_with("...")
}

pub fn escaped(character: char) -> String {
    let short = match character {
        '\0' => '0',
        '\u{7}' => 'a',
        '\u{8}' => 'b',
        '\t' => 't',
        '\n' => 'n',
        '\u{b}' => 'v',
        '\u{c}' => 'f',
        '\r' => 'r',
        '\u{1b}' => 'e',
        '"' => '"',
        '\\' => '\\',
        '\u{85}' => 'N',
        '\u{2028}' => 'L',
        '\u{2029}' => 'P',
        printable if is_printable(printable) => return printable.to_string(),
        other => {
            return match u32::from(other) {
                code @ ..=0xff => format!("\\x{code:02X}"),
                code @ ..=0xffff => format!("\\u{code:04X}"),
                code => format!("\\U{code:08X}"),
            };
        }
    };
    format!("\\{short}")
}

/// Whether a reader would take the bare text for a number, a time or some such (`resolve.go`).
pub fn means_something_else(text: &str) -> bool {
    const WORDS: [&str; 11] = [
        "", "~", "null", "y", "n", "yes", "no", "on", "off", "true", "false",
    ];
    let lower = text.to_lowercase();
    let one_case = text == lower || text == text.to_uppercase() || is_capitalised(text);
    if WORDS.contains(&lower.as_str()) && one_case {
        return true;
    }
    let without_sign = |text: &str| text.strip_prefix(['+', '-']).unwrap_or(text).to_owned();
    let unsigned = without_sign(text);
    // Underscores may part the digits of a number, but where it begins with its point.
    let plain = match text.chars().next() {
        Some('0'..='9' | '+' | '-') => without_sign(&text.replace('_', "")),
        Some('.') => text.to_owned(),
        _ => String::new(),
    };
    matches!(unsigned.as_str(), ".inf" | ".Inf" | ".INF")
        || matches!(text, ".nan" | ".NaN" | ".NAN")
        || is_integer(&plain)
        || is_float(&plain)
        || is_base_60(&unsigned)
        || is_time(text)
}

fn is_capitalised(text: &str) -> bool {
    let mut characters = text.chars();
    characters.next().is_some_and(char::is_uppercase) && !characters.any(char::is_uppercase)
}

/// As Go reads one, with the prefixes of its own literals.
fn is_integer(plain: &str) -> bool {
    let (digits, radix) = match plain.get(..2).map(str::to_lowercase).as_deref() {
        Some("0x") => (&plain[2..], 16),
        Some("0o") => (&plain[2..], 8),
        Some("0b") => (&plain[2..], 2),
        _ if plain.len() > 1 && plain.starts_with('0') => (&plain[1..], 8),
        _ => (plain, 10),
    };
    u64::from_str_radix(digits, radix).is_ok() && !digits.starts_with('+')
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
fn is_float(plain: &str) -> bool {
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (mantissa, exponent) = plain.split_once(['e', 'E']).unwrap_or((plain, "0"));
    let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let some = !whole.is_empty() || !fraction.is_empty();
    some && all_digits(whole)
        && all_digits(fraction)
        && all_digits(exponent)
        && !exponent.is_empty()
}

/// `1:30`, which YAML 1.1 takes for ninety.
fn is_base_60(unsigned: &str) -> bool {
    let (numbers, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let mut parts = numbers.split(':');
    let is_digit = |byte: u8| byte.is_ascii_digit() || byte == b'_';
    let first = parts.next().unwrap_or_default();
    let rest: Vec<&str> = parts.collect();
    first.starts_with(|c: char| c.is_ascii_digit())
        && first.bytes().all(is_digit)
        && fraction.bytes().all(is_digit)
        && !rest.is_empty()
        && rest.iter().all(|part| {
            let under_60 = part.parse::<u8>().is_ok_and(|number| number < 60);
            under_60 && part.len() <= 2 && part.bytes().all(|byte| byte.is_ascii_digit())
        })
}

/// A day, or a day and a time of day, as RFC 3339 writes them and a little beyond.
fn is_time(text: &str) -> bool {
    let digits = |text: &str, most: usize| {
        (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    let (day, time) = match text.split_once(['T', 't', ' ']) {
        Some((day, time)) => (day, Some(time)),
        None => (text, None),
    };
    let parts: Vec<&str> = day.split('-').collect();
    let [year, month, date] = parts[..] else {
        return false;
    };
    let in_range = |text: &str, most: u8| text.parse().is_ok_and(|n: u8| (1..=most).contains(&n));
    let is_day = year.len() == 4
        && digits(year, 4)
        && digits(month, 2)
        && digits(date, 2)
        && in_range(month, 12)
        && in_range(date, 31);
    let Some(time) = time else {
        return is_day;
    };
    // Without a zone the two are a blank apart.
    let (time, zoned) = match time.find(['Z', '+', '-']) {
        Some(at) => (&time[..at], true),
        None => (time, false),
    };
    let (clock, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let clock: Vec<&str> = clock.split(':').collect();
    is_day
        && zoned != text.contains(' ')
        && clock.len() == 3
        && clock.iter().all(|part| digits(part, 2))
        && digits(fraction, 9)
}
