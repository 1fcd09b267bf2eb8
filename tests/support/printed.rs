//! What two tools print, and where it differs.
//!
//! Used by several test programs, of which none uses all of it.
#![allow(dead_code)]

use std::process::Output;

#[derive(Debug, PartialEq, Eq)]
pub struct Printed {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Printed {
    pub fn of(output: &Output) -> Printed {
        Printed {
            code: output.status.code(),
            stdout: masked(&output.stdout),
            stderr: masked(&output.stderr),
        }
    }
}

/// A command line's words; blanks between single quotes do not part them.
pub fn split(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for (index, part) in line.split('\'').enumerate() {
        for (at, piece) in part.split(' ').enumerate() {
            let quoted = index % 2 == 1;
            match words.last_mut() {
                Some(word) if quoted && at > 0 => *word += &format!(" {piece}"),
                Some(word) if at == 0 => *word += piece,
                _ => words.push(piece.to_owned()),
            }
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Without ages, which go on between two commands, and the blanks that make up for them.
pub fn masked(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut masked = String::new();
    for line in text.split_inclusive('\n') {
        let mut rest = line;
        while let Some(end) = rest
            .find(' ')
            .map(|at| at + 1)
            .or(Some(rest.len()).filter(|n| *n > 0))
        {
            let (word, after) = rest.split_at(end);
            rest = after;
            match is_age(word.trim_end_matches([' ', '\n', ')'])) {
                true => {
                    masked += "AGE ";
                    rest = rest.trim_start_matches(' ');
                    masked += if word.ends_with('\n') { "\n" } else { "" };
                }
                false => masked += word,
            }
        }
    }
    masked
}

fn is_age(word: &str) -> bool {
    let word = word.trim_start_matches('(');
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let Some(whole) = word.strip_suffix(['s', 'm', 'h', 'd']) else {
        return false;
    };
    digits(whole)
        || whole
            .split_once(['m', 'h', 'd'])
            .is_some_and(|(a, b)| digits(a) && digits(b))
}

/// Collects what differs, to tell all of it at the end.
#[derive(Default)]
pub struct Differences(Vec<String>);

impl Differences {
    pub fn compare(&mut self, line: &str, kubectl: &Printed, podnet: &Printed) {
        if kubectl == podnet {
            return;
        }
        let mut text = format!("==== {line}\n");
        if kubectl.code != podnet.code {
            text += &format!(
                "kubectl ends with {:?}, podnet with {:?}\n",
                kubectl.code, podnet.code
            );
        }
        for (stream, theirs, ours) in [
            ("stdout", &kubectl.stdout, &podnet.stdout),
            ("stderr", &kubectl.stderr, &podnet.stderr),
        ] {
            if theirs != ours {
                text += &format!("{stream}:\n{}", changes(theirs, ours));
            }
        }
        self.0.push(text);
    }

    pub fn are_none(self, compared: usize) {
        let count = self.0.len();
        assert!(
            self.0.is_empty(),
            "{count} of {compared} command lines print something else:\n{}",
            self.0.join("\n")
        );
    }
}

/// The lines from the first that differs to the last.
fn changes(theirs: &str, ours: &str) -> String {
    let (theirs, ours): (Vec<&str>, Vec<&str>) = (
        theirs.split_inclusive('\n').collect(),
        ours.split_inclusive('\n').collect(),
    );
    let same_at_start = theirs.iter().zip(&ours).take_while(|(a, b)| a == b).count();
    let left = theirs.len().min(ours.len()) - same_at_start;
    let at_end = theirs.iter().rev().zip(ours.iter().rev()).take(left);
    let same_at_end = at_end.take_while(|(a, b)| a == b).count();
    let show = |sign: char, lines: &[&str]| -> String {
        let lines = &lines[same_at_start..lines.len() - same_at_end];
        lines
            .iter()
            .map(|line| format!("{sign} {:?}\n", line))
            .collect()
    };
    show('-', &theirs) + &show('+', &ours)
}

#[test]
fn ages_are_masked_and_nothing_else() {
    let text =
        b"NAME   AGE\nweb    5s\nstage-2s x\n  Warning  Failed  3s (x2 over 2m5s)  kubelet\n";
    assert_eq!(
        masked(text),
        "NAME   AGE\nweb    AGE \nstage-2s x\n  Warning  Failed  AGE (x2 over AGE kubelet\n"
    );
    assert_eq!(split("get -o 'a b' c"), ["get", "-o", "a b", "c"]);
}
