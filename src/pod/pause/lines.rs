//! A stream of bytes as the lines of a log, in the CRI format:
//! `TIME STREAM TAG TEXT`, with tag `F` for a full line and `P` for a part of
//! one (kubernetes/design-proposals-archive, node/kubelet-cri-logging.md).

use jiff::Timestamp;

/// What a line may have before it is split, as containerd does.
pub const LONGEST: usize = 16 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    Stdout,
    Stderr,
}

impl Stream {
    pub fn name(self) -> &'static str {
        match self {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        }
    }
}

/// Cuts one stream; keeps what has no end yet, at most [`LONGEST`] bytes.
#[derive(Debug)]
pub struct Lines {
    stream: Stream,
    partial: Vec<u8>,
}

impl Lines {
    pub fn new(stream: Stream) -> Lines {
        Lines {
            stream,
            partial: Vec::new(),
        }
    }

    /// Appends to `log` whatever became complete.
    pub fn push(&mut self, mut bytes: &[u8], now: Timestamp, log: &mut Vec<u8>) {
        // Said once for all of them: most of the work of a line is its time.
        let head = Head::new(self.stream, now);
        while !bytes.is_empty() {
            let room = LONGEST - self.partial.len();
            let within = &bytes[..bytes.len().min(room)];
            if let Some(end) = within.iter().position(|byte| *byte == b'\n') {
                head.line("F", &[&self.partial, &bytes[..end]], log);
                self.partial.clear();
                bytes = &bytes[end + 1..];
            } else if bytes.len() > room {
                // Not before another byte is known to follow: that may be the line's end.
                let (text, rest) = bytes.split_at(room);
                if rest[0] == b'\n' {
                    head.line("F", &[&self.partial, text], log);
                    bytes = &rest[1..];
                } else {
                    head.line("P", &[&self.partial, text], log);
                    bytes = rest;
                }
                self.partial.clear();
            } else {
                self.partial.extend_from_slice(bytes);
                return;
            }
        }
        if self.partial.is_empty() {
            self.partial = Vec::new();
        }
    }

    /// The stream is over: what had no end is a part.
    pub fn finish(&mut self, now: Timestamp, log: &mut Vec<u8>) {
        let partial = std::mem::take(&mut self.partial);
        if !partial.is_empty() {
            Head::new(self.stream, now).line("P", &[&partial], log);
        }
    }
}

/// What all lines of one moment begin with.
struct Head(String);

impl Head {
    fn new(stream: Stream, now: Timestamp) -> Head {
        Head(format!("{now:.9} {} ", stream.name()))
    }

    fn line(&self, tag: &str, text: &[&[u8]], log: &mut Vec<u8>) {
        for part in [self.0.as_bytes(), tag.as_bytes(), b" "] {
            log.extend_from_slice(part);
        }
        for part in text {
            log.extend_from_slice(part);
        }
        log.push(b'\n');
    }
}

/// A line that is podnet's own, in the place of output.
pub fn note(text: &str, now: Timestamp) -> Vec<u8> {
    let mut log = Vec::new();
    Head::new(Stream::Stderr, now).line("F", &[text.as_bytes()], &mut log);
    log
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn logged(chunks: &[Vec<u8>]) -> Vec<u8> {
        let mut lines = Lines::new(Stream::Stdout);
        let mut log = Vec::new();
        for chunk in chunks {
            lines.push(chunk, Timestamp::UNIX_EPOCH, &mut log);
            assert!(lines.partial.len() <= LONGEST);
        }
        lines.finish(Timestamp::UNIX_EPOCH, &mut log);
        log
    }

    /// What was written, from the log.
    fn read_back(log: &[u8]) -> Vec<u8> {
        let mut text = Vec::new();
        for line in log.split_inclusive(|byte| *byte == b'\n') {
            let line = line
                .strip_prefix(b"1970-01-01T00:00:00.000000000Z stdout ")
                .expect("time and stream");
            assert!(line.len() <= LONGEST + 3);
            match line {
                [b'F', b' ', rest @ ..] => text.extend_from_slice(rest),
                [b'P', b' ', rest @ .., b'\n'] => text.extend_from_slice(rest),
                other => panic!("{other:?}"),
            }
        }
        text
    }

    proptest! {
        #[test]
        fn nothing_is_lost_however_it_arrives(
            chunks in prop::collection::vec(
                (prop::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..20), 1_usize..3000)
                    .prop_map(|(unit, times)| unit.repeat(times)),
                0..6,
            ),
        ) {
            let written = chunks.concat();
            prop_assert_eq!(read_back(&logged(&chunks)), written.clone());
            prop_assert_eq!(logged(&chunks), logged(&[written]));
        }
    }

    #[test]
    fn a_line_as_long_as_allowed_is_one() {
        let mut line = vec![b'x'; LONGEST];
        line.push(b'\n');
        let log = logged(&[line[..LONGEST].to_vec(), b"\n".to_vec()]);
        assert_eq!(log.iter().filter(|byte| **byte == b'\n').count(), 1);
    }
}
