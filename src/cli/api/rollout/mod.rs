//! `podnet rollout`: how deployments and daemon sets come to their new pods, or back to those before.

mod history;
mod status;

use std::process::ExitCode;

use anyhow::bail;
use jiff::Timestamp;
use kube::Client;
use serde_json::{Value, json};

use super::duration::{Patience, parse_patience};
use super::failure::Failures;
use super::print::{SayArg, Voice};
use super::resource::{Catalog, Object, escape};
use super::select::{All, ChoiceArg};
use super::{ClusterArg, DryRunArg, http};

/// Whom the server remembers as having changed it.
const MANAGER: &str = "kubectl-rollout";

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Wait until all pods are as the newest template says
    Status {
        #[command(flatten)]
        what: What,
        /// Wait for the end of it
        #[arg(short, long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1,
            default_missing_value = "true", require_equals = true)]
        watch: bool,
        /// How long to wait: 30s, 5m; 0 is for ever
        #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = parse_patience)]
        timeout: Patience,
        /// Only of this template, as `history` lists them; 0 is the newest
        #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
        revision: i64,
    },
    /// Make all pods anew
    Restart {
        #[command(flatten)]
        what: What,
        #[command(flatten)]
        change: Change,
    },
    /// Leave the pods of a deployment as they are, whatever becomes of its template
    Pause {
        #[command(flatten)]
        what: What,
        #[command(flatten)]
        change: Change,
    },
    /// Let the pods of a deployment follow its template again
    Resume {
        #[command(flatten)]
        what: What,
        #[command(flatten)]
        change: Change,
    },
    /// List the templates that there have been
    History {
        #[command(flatten)]
        what: What,
        /// All about this one
        #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
        revision: i64,
        #[command(flatten)]
        say: SayArg,
    },
    /// Go back to an earlier template
    Undo {
        #[command(flatten)]
        what: What,
        /// Which, as `history` lists them; 0 is the one before
        #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
        to_revision: i64,
        #[command(flatten)]
        dry_run: DryRunArg,
        #[command(flatten)]
        say: SayArg,
    },
}

#[derive(Debug, clap::Args)]
struct What {
    #[command(flatten)]
    cluster: ClusterArg,
    /// Resource and names, or RESOURCE/NAME
    #[arg(required_unless_present = "filename", value_name = "RESOURCE [NAME]")]
    words: Vec<String>,
    #[command(flatten)]
    choice: ChoiceArg,
}

/// How a change is made, and told.
#[derive(Debug, clap::Args)]
struct Change {
    /// Whom the server remembers as having made it
    #[arg(long, value_name = "NAME", default_value = MANAGER)]
    field_manager: String,
    #[command(flatten)]
    say: SayArg,
}

impl Args {
    fn what(&self) -> &What {
        match &self.verb {
            Verb::Status { what, .. }
            | Verb::Restart { what, .. }
            | Verb::Pause { what, .. }
            | Verb::Resume { what, .. }
            | Verb::History { what, .. }
            | Verb::Undo { what, .. } => what,
        }
    }

    pub(super) fn cluster(&self) -> &ClusterArg {
        &self.what().cluster
    }

    fn voice(&self) -> Option<Voice<'_>> {
        match &self.verb {
            Verb::Status { .. } => None,
            Verb::Restart { change, .. }
            | Verb::Pause { change, .. }
            | Verb::Resume { change, .. } => Some(change.say.voice()),
            Verb::History { say, .. } | Verb::Undo { say, .. } => Some(say.voice()),
        }
    }
}

pub async fn run(client: &Client, args: &Args) -> anyhow::Result<ExitCode> {
    if let Verb::Status { revision, .. } | Verb::History { revision, .. } = args.verb
        && revision < 0
    {
        bail!("revision must be a positive integer: {revision}");
    }
    let what = args.what();
    let catalog = Catalog::discover(client).await?;
    let choice = what.choice.of(&what.words, All::Yes);
    let mut failures = Failures::default();
    let mut voice = args.voice();
    let objects = choice.objects(client, &catalog, &mut failures).await?;
    if objects.is_empty() && failures.are_none() {
        let namespace = what.choice.scope.namespace();
        eprintln!("No resources found in {namespace} namespace.");
    }
    for object in objects {
        let done = one(client, &catalog, args, &object, voice.as_mut()).await;
        failures.keep(done);
    }
    failures.into_result()?;
    Ok(ExitCode::SUCCESS)
}

async fn one(
    client: &Client,
    catalog: &Catalog,
    args: &Args,
    object: &Object,
    voice: Option<&mut Voice<'_>>,
) -> anyhow::Result<()> {
    let (changed, done) = match &args.verb {
        Verb::Status {
            watch,
            timeout,
            revision,
            ..
        } => return status::tell(client, object, *watch, *timeout, *revision).await,
        Verb::History { revision, say, .. } => {
            let history = history::of(client, catalog, object).await?;
            return match (say.output().is_some(), voice) {
                (true, Some(voice)) => history.say(*revision, voice),
                _ => history.tell(object, *revision),
            };
        }
        Verb::Undo {
            to_revision,
            dry_run,
            ..
        } => {
            if !history::is_kept_of(object) {
                let kind = &object.resource.kind;
                bail!("no rollbacker has been implemented for {kind:?}");
            }
            let history = history::of(client, catalog, object).await?;
            history.undo(client, object, *to_revision, dry_run).await?
        }
        Verb::Restart { change, .. } => {
            (restart(client, object, change).await?, "restarted".into())
        }
        Verb::Pause { change, .. } => (pause(client, object, change).await?, "paused".into()),
        Verb::Resume { change, .. } => (resume(client, object, change).await?, "resumed".into()),
    };
    match voice {
        Some(voice) => voice.say(&object.resource, &changed, &done),
        None => Ok(()),
    }
}

async fn restart(client: &Client, object: &Object, change: &Change) -> anyhow::Result<Value> {
    if !object.value["spec"]["template"].is_object() {
        bail!("{} restarting is not supported", called(object));
    }
    if is_paused(object) {
        bail!(
            "{} can't restart paused deployment (run rollout resume first)",
            called(object)
        );
    }
    let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let annotations = json!({"kubectl.kubernetes.io/restartedAt": now});
    let patch = json!({"spec": {"template": {"metadata": {"annotations": annotations}}}});
    changed(client, object, change, &patch).await
}

async fn pause(client: &Client, object: &Object, change: &Change) -> anyhow::Result<Value> {
    if object.resource.kind != "Deployment" {
        bail!("{} pausing is not supported", called(object));
    }
    if is_paused(object) {
        bail!("{} is already paused", called(object));
    }
    changed(client, object, change, &json!({"spec": {"paused": true}})).await
}

async fn resume(client: &Client, object: &Object, change: &Change) -> anyhow::Result<Value> {
    if object.resource.kind != "Deployment" {
        bail!("{} resuming is not supported", called(object));
    }
    if !is_paused(object) {
        bail!("{} is not paused", called(object));
    }
    changed(client, object, change, &json!({"spec": {"paused": null}})).await
}

async fn changed(
    client: &Client,
    object: &Object,
    change: &Change,
    patch: &Value,
) -> anyhow::Result<Value> {
    let manager = escape(&change.field_manager);
    let url = format!("{}?fieldManager={manager}", object.path());
    http::patch(client, &url, http::MERGE_PATCH, patch).await
}

fn is_paused(object: &Object) -> bool {
    object.value["spec"]["paused"] == true
}

/// `deployments.apps "web"`.
fn called(object: &Object) -> String {
    let resource = &object.resource;
    let dot = if resource.group.is_empty() { "" } else { "." };
    format!(
        "{}{dot}{} {:?}",
        resource.plural,
        resource.group,
        object.name()
    )
}
