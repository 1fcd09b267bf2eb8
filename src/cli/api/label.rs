//! `podnet label` and `podnet annotate`.

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::{anyhow, bail};
use kube::Client;
use serde_json::{Value, json};

use super::failure::Failures;
use super::manifest::Manifest;
use super::print::SayArg;
use super::resource::{Catalog, Object, escape};
use super::select::{All, ChoiceArg, Source};
use super::{ClusterArg, DryRunArg, http};

/// Anybody may overwrite why something was changed last.
const CHANGE_CAUSE: &str = "kubernetes.io/change-cause";

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub(super) cluster: ClusterArg,
    /// Objects, then what to set (KEY=VALUE) and to remove (KEY-)
    #[arg(required = true, value_name = "RESOURCE NAME KEY=VALUE")]
    words: Vec<String>,
    #[command(flatten)]
    choice: ChoiceArg,
    /// All of them in the namespace
    #[arg(long)]
    all: bool,
    /// Change what is set already
    #[arg(long)]
    overwrite: bool,
    /// Only if the object has this version now
    #[arg(long, value_name = "VERSION")]
    resource_version: Option<String>,
    /// As whom to own what is set
    #[arg(long, value_name = "NAME")]
    field_manager: Option<String>,
    /// Change what the file says, and nothing on the server
    #[arg(long)]
    local: bool,
    /// Print them
    #[arg(long)]
    list: bool,
    #[command(flatten)]
    dry_run: DryRunArg,
    #[command(flatten)]
    say: SayArg,
}

/// Which of the two verbs it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    Labels,
    Annotations,
}

impl What {
    fn field(self) -> &'static str {
        match self {
            What::Labels => "labels",
            What::Annotations => "annotations",
        }
    }

    fn singular(self) -> &'static str {
        match self {
            What::Labels => "label",
            What::Annotations => "annotation",
        }
    }

    fn manager(self) -> &'static str {
        match self {
            What::Labels => "kubectl-label",
            What::Annotations => "kubectl-annotate",
        }
    }

    fn of(self, object: &Value) -> BTreeMap<&str, &str> {
        let pairs = object["metadata"][self.field()].as_object();
        let pairs = pairs.into_iter().flatten();
        pairs
            .map(|(key, value)| (key.as_str(), value.as_str().unwrap_or_default()))
            .collect()
    }
}

/// What to set, or with `None` to remove.
type Changes = BTreeMap<String, Option<String>>;

/// Each object is changed as a whole or not at all: 1 if some could not be.
pub async fn run(client: &Client, args: &Args, what: What) -> anyhow::Result<ExitCode> {
    let (words, changes) = changes(&args.words, what)?;
    if changes.is_empty() && !args.list {
        bail!("at least one {} update is required", what.singular());
    }
    if args.all && args.choice.selector.is_given() {
        bail!("cannot set --all and --selector at the same time");
    }
    if args.local && !words.is_empty() {
        bail!(
            "can only use local files by -f pod.yaml or --filename=pod.json when --local=true is \
             set"
        );
    }
    if args.local && !args.choice.files.is_given() {
        bail!("one or more files must be specified as -f pod.yaml or --filename=pod.json");
    }
    let catalog = Catalog::discover(client).await?;
    let choice = args
        .choice
        .of(&words, if args.all { All::Yes } else { All::No });
    let mut failures = Failures::default();
    let sources = choice.sources(&catalog)?;
    if args.resource_version.is_some() && !matches!(sources[..], [Source::One { .. }]) {
        bail!("--resource-version may only be used with a single resource");
    }
    let mut objects = Vec::new();
    if args.local {
        objects = local(args, &catalog)?;
    } else {
        for source in sources {
            objects.extend(
                failures
                    .keep(source.fetch(client).await)
                    .into_iter()
                    .flatten(),
            );
        }
    }
    let mut voice = args.say.voice();
    for object in &objects {
        if args.list {
            list(object, what, objects.len() == 1);
            continue;
        }
        match change(client, args, what, object, &changes).await {
            Ok(changed) => {
                let done = done(object, &changed, what, args.overwrite);
                let done = format!("{done}{}", args.dry_run.suffix());
                voice.say(&object.resource, &changed, &done)?;
            }
            Err(error) => failures.add(error),
        }
    }
    failures.into_result()?;
    Ok(ExitCode::SUCCESS)
}

fn local(args: &Args, catalog: &Catalog) -> anyhow::Result<Vec<Object>> {
    let manifests = args.choice.files.read()?.into_iter();
    let object = |manifest: Manifest| {
        let value = manifest.object.clone();
        let resource = manifest.resolve(catalog, None)?.resource;
        Ok(Object { resource, value })
    };
    manifests.map(object).collect()
}

/// The words that name objects, and the changes after them.
fn changes(words: &[String], what: What) -> anyhow::Result<(Vec<String>, Changes)> {
    let is_change = |word: &String| word.contains('=') || word.ends_with('-');
    let at = words.iter().position(is_change).unwrap_or(words.len());
    let mut changes = Changes::new();
    for word in &words[at..] {
        let (key, value) = match (word.split_once('='), word.strip_suffix('-')) {
            (Some((key, value)), _) => (key, Some(value.to_owned())),
            (None, Some(key)) => (key, None),
            (None, None) => bail!(
                "all resources must be specified before {} changes: {word}",
                what.singular()
            ),
        };
        let earlier = changes.insert(key.to_owned(), value.clone());
        if earlier.is_some_and(|earlier| earlier.is_some() != value.is_some()) {
            bail!(
                "can not both modify and remove {} in the same command",
                article(what)
            );
        }
    }
    Ok((words[..at].to_vec(), changes))
}

fn article(what: What) -> &'static str {
    match what {
        What::Labels => "a label",
        What::Annotations => "an annotation",
    }
}

fn list(object: &Object, what: What, alone: bool) {
    let indent = if alone { "" } else { " " };
    if !alone {
        let resource = &object.resource;
        println!(
            "Listing {} for {}.{}/{}:",
            what.field(),
            resource.kind,
            resource.group,
            object.name()
        );
    }
    for (key, value) in what.of(&object.value) {
        println!("{indent}{key}={value}");
    }
}

/// The object as it is now.
async fn change(
    client: &Client,
    args: &Args,
    what: What,
    object: &Object,
    changes: &Changes,
) -> anyhow::Result<Value> {
    let has = what.of(&object.value);
    if !args.overwrite {
        refuse_overwriting(&has, changes, what)?;
    }
    for key in changes
        .iter()
        .filter(|(_, value)| value.is_none())
        .map(|(key, _)| key)
    {
        if !has.contains_key(key.as_str()) {
            println!("{} {key:?} not found.", what.singular());
        }
    }
    let mut patch = json!({"metadata": {what.field(): changes}});
    if args.dry_run.is_client() || args.local {
        let mut changed = object.value.clone();
        json_patch::merge(&mut changed, &patch);
        return Ok(changed);
    }
    if let Some(version) = &args.resource_version {
        patch["metadata"]["resourceVersion"] = version.as_str().into();
    }
    let manager = escape(args.field_manager.as_deref().unwrap_or(what.manager()));
    let dry_run = args.dry_run.parameter();
    let url = format!("{}?fieldManager={manager}{dry_run}", object.path());
    http::patch(client, &url, http::MERGE_PATCH, &patch).await
}

fn refuse_overwriting(
    has: &BTreeMap<&str, &str>,
    changes: &Changes,
    what: What,
) -> anyhow::Result<()> {
    let other = |(key, value): (&String, &Option<String>)| {
        let now = *has.get(key.as_str())?;
        let differs = value.as_deref().is_some_and(|value| value != now);
        (differs && key != CHANGE_CAUSE).then(|| format!("'{key}' already has a value ({now})"))
    };
    let others: Vec<String> = changes.iter().filter_map(other).collect();
    match (what, others.is_empty()) {
        (_, true) => Ok(()),
        (What::Annotations, false) => Err(anyhow!(
            "--overwrite is false but found the following declared annotation(s): {}",
            others.join("; ")
        )),
        (What::Labels, false) => {
            let mut failures = Failures::default();
            for other in others {
                failures.add(anyhow!("{other}, and --overwrite is false"));
            }
            failures.into_result()
        }
    }
}

fn done(before: &Object, after: &Value, what: What, overwrite: bool) -> &'static str {
    let (had, has) = (what.of(&before.value), what.of(after));
    match what {
        What::Annotations => "annotated",
        What::Labels if had == has => "not labeled",
        What::Labels if !overwrite && text_length(&has) < text_length(&had) => "unlabeled",
        What::Labels => "labeled",
    }
}

fn text_length(pairs: &BTreeMap<&str, &str>) -> usize {
    pairs
        .iter()
        .map(|(key, value)| key.len() + value.len() + r#""":"","#.len())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_follow_what_they_are_for() {
        let parsed = |text: &str| {
            let words: Vec<String> = text.split(' ').map(str::to_owned).collect();
            changes(&words, What::Labels)
        };
        let (words, changes) = parsed("pod web a=1 b- c=").expect("changes");
        assert_eq!(words, ["pod", "web"]);
        let expected = [("a", Some("1")), ("b", None), ("c", Some(""))];
        let expected = expected.map(|(key, value)| (key.to_owned(), value.map(str::to_owned)));
        assert_eq!(changes, Changes::from(expected));
        assert!(parsed("pod web a=1 a-").is_err());
        assert!(parsed("pod web a=1 other").is_err());
    }
}
