//! One line of a log file: `TIME STREAM TAG TEXT`, the CRI log format.

/// The head of a record, from its beginning to the text, is never longer: what has a longer one is
/// no record.
pub const MAX_HEAD_BYTES: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// RFC 3339, as it was written.
    pub time: &'a str,
    /// More of the line follows in a later record (tag `P`).
    pub partial: bool,
    pub text: &'a [u8],
}

impl<'a> Record<'a> {
    /// `line` without its newline. `None` for anything else.
    pub fn parse(line: &'a [u8]) -> Option<Record<'a>> {
        let mut parts = line.splitn(4, |byte| *byte == b' ');
        let (time, stream, tag) = (parts.next()?, parts.next()?, parts.next()?);
        let text = parts.next()?;
        if !matches!(stream, b"stdout" | b"stderr") || line.len() - text.len() > MAX_HEAD_BYTES {
            return None;
        }
        // A tag may be followed by others, after colons.
        let partial = match tag.split(|byte| *byte == b':').next()? {
            b"P" => true,
            b"F" => false,
            _ => return None,
        };
        Some(Record {
            time: std::str::from_utf8(time).ok()?,
            partial,
            text,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_record_is_read_and_anything_else_is_not() {
        let record = Record::parse(b"2024-01-01T00:00:00.5Z stderr P a  b ").unwrap();
        let expected = Record {
            time: "2024-01-01T00:00:00.5Z",
            partial: true,
            text: b"a  b ",
        };
        assert_eq!(record, expected);
        assert_eq!(Record::parse(b"t stdout F ").unwrap().text, b"");
        let tags = "x".repeat(MAX_HEAD_BYTES - "t stdout P: ".len());
        let longest = format!("t stdout P:{tags} text");
        assert_eq!(Record::parse(longest.as_bytes()).unwrap().text, b"text");
        let longer = format!("t stdout P:{tags}x text");
        for other in [
            "",
            "plain text of some kind",
            "t stdout F",
            "t stdin F x",
            &longer,
        ] {
            assert_eq!(Record::parse(other.as_bytes()), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(line in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Some(record) = Record::parse(&line) {
                prop_assert!(line.ends_with(record.text));
            }
        }
    }
}
