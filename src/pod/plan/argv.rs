//! What a container's first words are.

use k8s_openapi::api::core::v1::Container;

use crate::pod::image::Image;

use super::ConfigError;
use super::environment::Environment;
use super::expand::expand;

/// `command` replaces both the image's entrypoint and its command, `args` the command
/// only (<https://kubernetes.io/docs/tasks/inject-data-application/define-command-argument-container/>).
pub fn argv(
    container: &Container,
    image: &Image,
    environment: &Environment,
) -> Result<Vec<String>, ConfigError> {
    let said = |words: &Option<Vec<String>>| -> Option<Vec<String>> {
        let words = words.as_ref().filter(|words| !words.is_empty())?;
        let expanded = words
            .iter()
            .map(|word| expand(word, |name| environment.own(name)));
        Some(expanded.collect())
    };
    let args = said(&container.args);
    let mut argv = match said(&container.command) {
        Some(mut command) => {
            command.extend(args.unwrap_or_default());
            command
        }
        None => {
            let mut words = image.entrypoint.clone();
            words.extend(args.unwrap_or_else(|| image.cmd.clone()));
            words
        }
    };
    if argv.first().is_none_or(String::is_empty) {
        return Err(ConfigError::NoCommand {
            container: container.name.clone(),
        });
    }
    // A C string ends at the first of these: what is behind it would be lost unseen.
    argv.iter_mut().for_each(|word| word.retain(|c| c != '\0'));
    Ok(argv)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::plan::bundle::tests::image;

    fn words(command: &[&str], args: &[&str], entrypoint: &[&str], cmd: &[&str]) -> String {
        let list = |words: &[&str]| {
            words
                .iter()
                .map(|&word| word.to_owned())
                .collect::<Vec<_>>()
        };
        let container = Container {
            command: Some(list(command)),
            args: Some(list(args)),
            ..Container::default()
        };
        let mut image = image();
        (image.entrypoint, image.cmd) = (list(entrypoint), list(cmd));
        match argv(&container, &image, &Environment::default()) {
            Ok(argv) => argv.join(" "),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn commands_and_arguments_over_the_images() {
        assert_eq!(words(&[], &[], &["entry"], &["cmd"]), "entry cmd");
        assert_eq!(words(&[], &["arg"], &["entry"], &["cmd"]), "entry arg");
        assert_eq!(words(&["command"], &[], &["entry"], &["cmd"]), "command");
        assert_eq!(
            words(&["command"], &["arg"], &["entry"], &["cmd"]),
            "command arg"
        );
        assert_eq!(words(&[], &[], &[], &["cmd"]), "cmd");
        assert!(words(&[], &[], &[], &[]).contains("no command specified"));
    }
}
