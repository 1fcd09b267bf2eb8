//! Switches with a value: `podnet get pods --watch=true`, `logs -f=false`, which kubectl takes.

use std::ffi::OsString;

use clap::{Arg, ArgAction, Command};

/// `words` after the program's name, verbs first, with switches that are set to true as they stand
/// alone, and without those that are set to false.
pub fn plain(command: &Command, words: Vec<OsString>) -> Vec<OsString> {
    let (mut verb, mut verbs) = (command, 0);
    while let Some(next) = words.get(verbs).and_then(|word| verb.find_subcommand(word)) {
        (verb, verbs) = (next, verbs + 1);
    }
    // What follows is for another program.
    let end = words.iter().position(|word| word == "--");
    let end = end.unwrap_or(words.len());
    let plain = |(at, word): (usize, OsString)| match at < end {
        true => word.to_str().map_or(Some(word.clone()), |text| {
            set(verb, text).unwrap_or(Some(word.clone()))
        }),
        false => Some(word),
    };
    words.into_iter().enumerate().filter_map(plain).collect()
}

/// `None`: it sets no switch of the verb's. `Some(None)`: it sets one to false.
fn set(verb: &Command, word: &str) -> Option<Option<OsString>> {
    let (flag, value) = word.split_once('=')?;
    let value = truth(value)?;
    if let Some(long) = flag.strip_prefix("--") {
        switch(verb, |arg| arg.get_long() == Some(long))?;
        return Some(value.then(|| flag.into()));
    }
    let mut shorts = flag.strip_prefix('-')?.chars();
    shorts
        .clone()
        .try_for_each(|short| switch(verb, |arg| arg.get_short() == Some(short)).map(drop))?;
    shorts.next_back()?;
    let others = shorts.as_str();
    // The value is the last one's.
    Some(match (value, others) {
        (true, _) => Some(flag.into()),
        (false, "") => None,
        (false, _) => Some(format!("-{others}").into()),
    })
}

fn switch(verb: &Command, is_it: impl Fn(&Arg) -> bool) -> Option<&Arg> {
    let mut arguments = verb.get_arguments();
    arguments.find(|arg| matches!(arg.get_action(), ArgAction::SetTrue) && is_it(arg))
}

/// As Go's strconv.ParseBool.
fn truth(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::help;

    #[test]
    fn switches_may_be_set() {
        for (given, meant) in [
            ("get pods --watch=true", "get pods --watch"),
            ("get pods --watch=false -A=0", "get pods"),
            ("exec web -it=true -- sh", "exec web -it -- sh"),
            ("exec web -it=false -- sh", "exec web -i -- sh"),
            ("logs web -f=F --timestamps=T", "logs web --timestamps"),
            (
                "rollout status x --watch=false",
                "rollout status x --watch=false",
            ),
            ("get pods --watch=maybe", "get pods --watch=maybe"),
            ("get pods -l=true", "get pods -l=true"),
            ("exec web -- x --stdin=true", "exec web -- x --stdin=true"),
            (
                "label pod web overwrite=true",
                "label pod web overwrite=true",
            ),
        ] {
            let words = given.split(' ').map(OsString::from).collect();
            let plain = plain(&help::command(), words);
            assert_eq!(plain.join(" ".as_ref()), meant, "{given}");
        }
    }
}
