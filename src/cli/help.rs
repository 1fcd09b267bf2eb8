//! What `podnet help` says: the commands in groups, one line each.

use clap::{Command, CommandFactory, FromArgMatches};

use super::{Cli, leading, switches};

const TEMPLATE: &str = "{about-with-newline}\n{usage-heading} {usage}\n\n{before-help}Options:\n{options}\n\n\
     `podnet help COMMAND` tells more of one. `--lab NAME` says which lab.\n";

/// Every command that is not hidden stands in one of them.
const GROUPS: [(&str, &[&str]); 5] = [
    (
        "A lab",
        &[
            "up",
            "down",
            "status",
            "node",
            "image",
            "kubeconfig",
            "doctor",
            "demo",
        ],
    ),
    ("Its network", &["check", "shell"]),
    (
        "Its objects, as with kubectl",
        &[
            "get",
            "describe",
            "create",
            "apply",
            "replace",
            "patch",
            "run",
            "delete",
            "label",
            "annotate",
            "wait",
            "scale",
            "rollout",
            "cordon",
            "uncordon",
            "drain",
            "api-resources",
        ],
    ),
    (
        "Its pods, as with kubectl",
        &["logs", "exec", "attach", "port-forward"],
    ),
    (
        "Its parts, and this program",
        &["server", "agent", "completion", "help"],
    ),
];

/// The command line that this process got; a wrong one ends it.
pub fn parse() -> Cli {
    let mut words = std::env::args_os();
    let program = words.next().into_iter();
    let command = command();
    let words = leading::moved(&command, words.collect());
    let words = switches::plain(&command, words);
    let matches = command.get_matches_from(program.chain(words));
    Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}

pub fn command() -> Command {
    let mut command = Cli::command();
    command.build();
    let text = grouped(&command);
    Cli::command().help_template(TEMPLATE).before_help(text)
}

fn grouped(command: &Command) -> String {
    let widest = GROUPS
        .iter()
        .flat_map(|(_, names)| names.iter())
        .map(|name| name.len())
        .max();
    let width = widest.unwrap_or(0);
    let mut text = String::new();
    for (title, names) in GROUPS {
        text += &format!("{title}:\n");
        for name in names {
            let about = command.find_subcommand(name).and_then(Command::get_about);
            let about = about.map(ToString::to_string).unwrap_or_default();
            text += &format!("  {name:width$}  {about}\n");
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_stands_in_one_group() {
        let mut command = Cli::command();
        command.build();
        let visible = command.get_subcommands().filter(|one| !one.is_hide_set());
        let mut visible: Vec<&str> = visible.map(Command::get_name).collect();
        let mut grouped: Vec<&str> = GROUPS
            .iter()
            .flat_map(|(_, names)| names.iter().copied())
            .collect();
        visible.sort_unstable();
        grouped.sort_unstable();
        assert_eq!(grouped, visible);
    }

    #[test]
    fn the_commands_are_consistent() {
        command().debug_assert();
    }
}
