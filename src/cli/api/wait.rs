//! `podnet wait`.

use std::process::ExitCode;
use std::str::FromStr;

use anyhow::{anyhow, bail};
use futures::StreamExt;
use futures::future::join_all;
use kube::Client;
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use super::delete::until_gone;
use super::duration::{Patience, parse_patience};
use super::failure::Failures;
use super::print::SayArg;
use super::print::jsonpath::{Template, shown};
use super::resource::{Catalog, Object, escape};
use super::select::{All, ChoiceArg};
use super::{ClusterArg, http, watch};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub(super) cluster: ClusterArg,
    /// What to wait for: a resource and names, or RESOURCE/NAME
    #[arg(required_unless_present = "filename", value_name = "RESOURCE [NAME]")]
    words: Vec<String>,
    #[command(flatten)]
    choice: ChoiceArg,
    /// All of them in the namespace
    #[arg(long)]
    all: bool,
    /// delete, create, condition=NAME[=VALUE], or jsonpath=PATH[=VALUE]
    #[arg(long = "for", value_name = "CONDITION")]
    until: Until,
    /// How long to wait: 30s, 5m; 0 is to look once
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = parse_patience)]
    timeout: Patience,
    #[command(flatten)]
    say: SayArg,
}

#[derive(Clone, Debug)]
enum Until {
    Gone,
    There,
    Condition {
        name: String,
        value: String,
    },
    Path {
        path: Template,
        value: Option<String>,
    },
}

impl FromStr for Until {
    type Err = String;

    fn from_str(text: &str) -> Result<Until, String> {
        let (kind, rest) = text.split_once('=').unwrap_or((text, ""));
        match (kind.to_lowercase().as_str(), rest) {
            ("delete", "") => Ok(Until::Gone),
            ("create", "") => Ok(Until::There),
            ("condition", rest) if !rest.is_empty() => {
                let (name, value) = rest.split_once('=').unwrap_or((rest, "true"));
                Ok(Until::Condition {
                    name: name.to_lowercase(),
                    value: value.to_lowercase(),
                })
            }
            ("jsonpath", rest) if !rest.is_empty() => Until::path(rest),
            _ => Err(format!("unrecognized condition: {text:?}")),
        }
    }
}

impl Until {
    /// `{.a==b}` has no equals sign of ours; what follows the braces may.
    fn path(text: &str) -> Result<Until, String> {
        let text = text.trim_matches(['\'', '"']);
        let (path, value) = match text.rfind('}') {
            Some(end) => match text[end + 1..].split_once('=') {
                Some((_, value)) => (&text[..=end], Some(value)),
                None => (text, None),
            },
            None => match text.split_once('=') {
                Some((path, value)) => (path, Some(value)),
                None => (text, None),
            },
        };
        if value == Some("") {
            return Err("jsonpath wait has to have a value after equal sign".to_owned());
        }
        Ok(Until::Path {
            path: Template::relaxed(path)?,
            value: value.map(|value| value.trim_matches(['\'', '"']).to_owned()),
        })
    }

    fn holds(&self, object: &Value) -> anyhow::Result<bool> {
        Ok(match self {
            Until::Gone => false,
            Until::There => true,
            Until::Condition { name, value } => has_condition(object, name, value),
            Until::Path { path, value } => {
                let found = path.values(object)?;
                match (&found[..], value) {
                    ([], _) => false,
                    (_, None) => true,
                    ([one], Some(value)) => {
                        if one.is_array() || one.is_object() {
                            bail!(
                                "jsonpath leads to a nested object or list which cannot be compared"
                            );
                        }
                        shown(one) == *value
                    }
                    _ => bail!("given jsonpath expression matches more than one value"),
                }
            }
        })
    }
}

/// As long as nobody has looked at the object's newest form, its conditions are of an older one.
fn has_condition(object: &Value, name: &str, value: &str) -> bool {
    let lower = |value: &Value| value.as_str().unwrap_or_default().to_lowercase();
    let conditions = object["status"]["conditions"].as_array();
    let Some(condition) = conditions
        .into_iter()
        .flatten()
        .find(|c| lower(&c["type"]) == name)
    else {
        return false;
    };
    let generation = object["metadata"]["generation"].as_i64();
    let seen = condition["observedGeneration"].as_i64();
    let seen = seen.or(object["status"]["observedGeneration"].as_i64());
    let is_old = matches!((generation, seen), (Some(is), Some(seen)) if seen < is);
    lower(&condition["status"]) == value && !is_old
}

/// 1 if it has not come to pass in time.
pub async fn run(client: &Client, args: &Args) -> anyhow::Result<ExitCode> {
    let deadline = args.timeout.deadline();
    let catalog = Catalog::discover(client).await?;
    let choice = args
        .choice
        .of(&args.words, if args.all { All::Said } else { All::No });
    let mut failures = Failures::default();
    let mut objects = Vec::new();
    for source in choice.sources(&catalog)? {
        let found = loop {
            let found = source.fetch(client).await;
            let is_missing = found.as_ref().is_err_and(http::is_not_found);
            if !is_missing || !matches!(args.until, Until::There) {
                break found;
            }
            if Instant::now() >= deadline {
                bail!("timed out waiting for the condition");
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        };
        objects.extend(failures.keep(found).into_iter().flatten());
    }
    if matches!(args.until, Until::Gone) {
        failures.forgive(http::is_not_found);
    } else if objects.is_empty() && failures.are_none() {
        bail!("no matching resources found");
    }
    let mut voice = args.say.voice();
    let waiting = objects
        .iter()
        .map(|object| one(client, args, object, deadline));
    for (object, outcome) in objects.iter().zip(join_all(waiting).await) {
        if let Some(value) = failures.keep(outcome) {
            voice.say(&object.resource, &value, "condition met")?;
        }
    }
    failures.into_result()?;
    Ok(ExitCode::SUCCESS)
}

/// The object, as it was when it came to pass.
async fn one(
    client: &Client,
    args: &Args,
    object: &Object,
    deadline: Instant,
) -> anyhow::Result<Value> {
    if matches!(args.until, Until::Gone) {
        let uid = object.value["metadata"]["uid"].as_str();
        until_gone(client, object, uid, Some(deadline)).await?;
        return Ok(object.value.clone());
    }
    if args.until.holds(&object.value)? {
        return Ok(object.value.clone());
    }
    if args.timeout.is_none() {
        let plural = &object.resource.plural;
        bail!("condition not met for {plural}/{}", object.name());
    }
    match timeout_at(deadline, changed(client, args, object)).await {
        Ok(value) => value,
        Err(_) => Err(anyhow!(
            "timed out waiting for the condition on {}/{}",
            object.resource.plural,
            object.name()
        )),
    }
}

/// Watches the object until it is as wanted. A watch ends now and then; the next one goes on.
async fn changed(client: &Client, args: &Args, object: &Object) -> anyhow::Result<Value> {
    let namespace = object.value["metadata"]["namespace"].as_str();
    let collection = object.resource.collection(namespace);
    let url = format!(
        "{collection}?fieldSelector=metadata.name%3D{}",
        escape(object.name())
    );
    loop {
        let list = http::get(client, &url).await?;
        let now = list.pointer("/items/0");
        if let Some(now) = now.filter(|now| args.until.holds(now).unwrap_or(false)) {
            return Ok(now.clone());
        }
        let version = list["metadata"]["resourceVersion"]
            .as_str()
            .unwrap_or_default();
        let events = watch::events(client, &url, version, http::JSON).await?;
        let mut events = std::pin::pin!(events);
        while let Some(event) = events.next().await {
            let Ok(event) = event else {
                break;
            };
            if event.kind != "DELETED" && args.until.holds(&event.object)? {
                return Ok(event.object);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn conditions_are_given_as_to_kubectl() {
        let pod = json!({
            "metadata": {"generation": 2},
            "status": {"phase": "Running", "conditions": [
                {"type": "Ready", "status": "True"},
                {"type": "Old", "status": "True", "observedGeneration": 1},
            ], "n": 3},
        });
        for (text, holds) in [
            ("condition=ready", true),
            ("condition=Ready=false", false),
            ("condition=old", false),
            ("jsonpath={.status.phase}=Running", true),
            ("jsonpath='{.status.phase}'=Pending", false),
            ("jsonpath=.status.n=3", true),
            (
                "jsonpath={.status.conditions[?(@.type==\"Ready\")].status}=True",
                true,
            ),
            ("jsonpath={.status.nothing}", false),
            ("jsonpath={.status.n}", true),
            ("delete", false),
        ] {
            let until: Until = text.parse().expect(text);
            assert_eq!(until.holds(&pod).expect(text), holds, "{text}");
        }
        for text in ["", "ready", "condition=", "jsonpath={.a}="] {
            assert!(text.parse::<Until>().is_err(), "{text}");
        }
        let nested: Until = "jsonpath={.status}=x".parse().expect("a path");
        assert!(nested.holds(&pod).is_err());
    }
}
