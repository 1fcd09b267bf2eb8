//! Flags before the verb: `podnet -n web get pods`, which kubectl allows too.

use std::ffi::OsString;

use clap::Command;

/// Those that most verbs know. Each has a value.
const FLAGS: [&str; 4] = ["-n", "--namespace", "--kubeconfig", "--lab"];

/// `words` after the program's name, with such flags behind the verb they are for. What comes before a word that is no
/// verb stays where it is, to be complained of.
pub fn moved(command: &Command, words: Vec<OsString>) -> Vec<OsString> {
    let flags = leading(&words);
    let verbs = verbs(command, &words[flags..]);
    if verbs == 0 {
        return words;
    }
    let (flags, rest) = words.split_at(flags);
    let (verbs, rest) = rest.split_at(verbs);
    [verbs, flags, rest].concat()
}

/// How many words belong to flags.
fn leading(words: &[OsString]) -> usize {
    let mut at = 0;
    while let Some(word) = words.get(at).and_then(|word| word.to_str()) {
        at += match FLAGS.iter().find(|flag| word.starts_with(**flag)) {
            Some(flag) if word == *flag => 2,
            Some(flag) if !flag.starts_with("--") => 1,
            Some(flag) if word[flag.len()..].starts_with('=') => 1,
            _ => break,
        };
    }
    at.min(words.len())
}

/// How many words name a verb: two for `rollout status`.
fn verbs(command: &Command, words: &[OsString]) -> usize {
    let next = words.first().and_then(|word| command.find_subcommand(word));
    next.map_or(0, |next| 1 + verbs(next, &words[1..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::help;

    #[test]
    fn flags_follow_their_verb() {
        for (given, meant) in [
            ("-n web get pods", "get -n web pods"),
            (
                "--lab=a --kubeconfig f rollout status x",
                "rollout status --lab=a --kubeconfig f x",
            ),
            ("-nweb create ns x", "create ns -nweb x"),
            ("--namespace=a create -f x", "create --namespace=a -f x"),
            ("--lab a exec p -- get pods", "exec --lab a p -- get pods"),
            ("get pods -n web", "get pods -n web"),
            ("-n get pods", "-n get pods"),
            ("-n", "-n"),
            ("--labels x get pods", "--labels x get pods"),
            ("--version", "--version"),
        ] {
            let words = given.split(' ').map(OsString::from).collect();
            let moved = moved(&help::command(), words);
            assert_eq!(moved.join(" ".as_ref()), meant, "{given}");
        }
    }
}
