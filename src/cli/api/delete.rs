//! `podnet delete`.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{anyhow, bail};
use clap::ValueEnum;
use futures::StreamExt;
use kube::Client;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::duration::{Patience, parse_patience};
use super::failure::{Failures, when};
use super::print::Output;
use super::resource::{Catalog, Object};
use super::select::{All, ChoiceArg, Source};
use super::{ClusterArg, DryRunArg, http, raw};

/// Objects looked at at a time while waiting for them to go.
const AT_ONCE: usize = 16;
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub(super) cluster: ClusterArg,
    /// What to delete: a resource and names, or RESOURCE/NAME
    #[arg(required_unless_present_any = ["filename", "raw"], value_name = "RESOURCE [NAME]")]
    words: Vec<String>,
    #[command(flatten)]
    choice: ChoiceArg,
    /// All of them in the namespace
    #[arg(long)]
    all: bool,
    /// Seconds that each gets to end by itself
    #[arg(long, value_name = "SECONDS")]
    grace_period: Option<i64>,
    /// One second of grace
    #[arg(long, conflicts_with = "grace_period")]
    now: bool,
    /// Without waiting for anybody who has to end something; with --grace-period=0
    #[arg(long)]
    force: bool,
    /// What becomes of what they own
    #[arg(long, value_enum, default_value = "background", value_name = "HOW")]
    cascade: Cascade,
    /// No word of what is not there
    #[arg(long)]
    ignore_not_found: bool,
    /// Ask first
    #[arg(short, long)]
    interactive: bool,
    /// Wait until they are gone
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1,
        default_missing_value = "true", require_equals = true)]
    wait: bool,
    /// How long to wait: 30s, 5m; 0 is for ever
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = parse_patience)]
    timeout: Patience,
    /// A path of the API to delete, answered as it comes
    #[arg(long, value_name = "PATH")]
    raw: Option<String>,
    #[command(flatten)]
    dry_run: DryRunArg,
    /// name: only what was deleted
    #[arg(short, long, value_name = "FORMAT")]
    output: Option<Output>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Cascade {
    /// It goes afterwards
    Background,
    /// It goes first
    Foreground,
    /// It stays
    Orphan,
}

impl Cascade {
    /// The API's word.
    pub fn policy(self) -> &'static str {
        match self {
            Cascade::Background => "Background",
            Cascade::Foreground => "Foreground",
            Cascade::Orphan => "Orphan",
        }
    }
}

impl Args {
    /// Seconds; `None` leaves it to the objects.
    fn grace_seconds(&self) -> anyhow::Result<Option<i64>> {
        let asked = match self.now {
            true => Some(1),
            false => self.grace_period.filter(|seconds| *seconds >= 0),
        };
        match (self.force, asked) {
            (true, None) => Ok(Some(0)),
            (true, Some(1..)) => {
                bail!("--force and --grace-period greater than 0 cannot be specified together")
            }
            (_, asked) => Ok(asked),
        }
    }
}

/// All that can be deleted is, even if some cannot: 1 then.
pub async fn run(client: &Client, args: &Args) -> anyhow::Result<ExitCode> {
    let options = options(args)?;
    if let Some(path) = &args.raw {
        raw::check(path, args.output.as_ref())?;
        return raw::send(
            client,
            http::Method::DELETE,
            path,
            args.choice.files.read_raw()?,
        )
        .await;
    }
    if args.all && args.choice.selector.is_given() {
        bail!("setting 'all' parameter but found a non empty selector. ");
    }
    let catalog = Catalog::discover(client).await?;
    let mut failures = Failures::default();
    let doomed = doomed(client, args, &catalog, &mut failures).await?;
    if args.ignore_not_found {
        failures.forgive(http::is_not_found);
    }
    if args.interactive && !doomed.is_empty() && !is_agreed(&doomed)? {
        println!("deletion is cancelled");
        return Ok(ExitCode::SUCCESS);
    }
    if doomed.is_empty() && failures.are_none() && !args.ignore_not_found {
        println!("No resources found");
    }
    if args.force {
        eprintln!(
            "Warning: Immediate deletion does not wait for confirmation that the running resource has been \
             terminated. The resource may continue to run on the cluster indefinitely."
        );
    }
    let mut going = Vec::new();
    for (object, file) in doomed {
        let deleted = delete(client, args, &object, &options).await;
        match deleted {
            Ok(uid) => {
                say(args, &object);
                going.push((object, uid));
            }
            Err(error) if http::is_not_found(&error) && (args.all || args.ignore_not_found) => {}
            Err(error) => failures.add(match file {
                Some(file) => when(error, "deleting", &file),
                None => error,
            }),
        }
    }
    if args.wait && !args.dry_run.is_any() {
        wait(
            client,
            going,
            args.timeout.deadline_or_never(),
            &mut failures,
        )
        .await;
    }
    failures.into_result()?;
    Ok(ExitCode::SUCCESS)
}

fn is_agreed(doomed: &[(Object, Option<String>)]) -> anyhow::Result<bool> {
    println!(
        "You are about to delete the following {} resource(s):",
        doomed.len()
    );
    for (object, _) in doomed {
        println!("{}", object.slashed());
    }
    print!("Do you want to continue? (y/n): ");
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(answer.trim().eq_ignore_ascii_case("y"))
}

fn options(args: &Args) -> anyhow::Result<Value> {
    let mut options = json!({
        "apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": args.cascade.policy(),
    });
    if let Some(seconds) = args.grace_seconds()? {
        options["gracePeriodSeconds"] = seconds.into();
    }
    if args.dry_run.is_server() {
        options["dryRun"] = json!(["All"]);
    }
    Ok(options)
}

/// With the file that names each, if one does. Objects with a name are not looked at first: the
/// server says if there is none.
async fn doomed(
    client: &Client,
    args: &Args,
    catalog: &Catalog,
    failures: &mut Failures,
) -> anyhow::Result<Vec<(Object, Option<String>)>> {
    let choice = args
        .choice
        .of(&args.words, if args.all { All::Said } else { All::No });
    let mut doomed = Vec::new();
    for source in choice.sources(catalog)? {
        match source {
            Source::One {
                resource,
                name,
                path,
                file,
            } => {
                // A path begins with its namespace, where it has one.
                let namespace = path
                    .split_once("/namespaces/")
                    .filter(|_| resource.namespaced)
                    .and_then(|(_, rest)| rest.split('/').next());
                let value = json!({"metadata": {"name": name, "namespace": namespace}});
                doomed.push((Object { resource, value }, file));
            }
            list @ Source::List { .. } => {
                let found = failures
                    .keep(list.fetch(client).await)
                    .into_iter()
                    .flatten();
                doomed.extend(found.map(|object| (object, None)));
            }
        }
    }
    Ok(doomed)
}

/// The uid of what is going, as far as the answer tells.
async fn delete(
    client: &Client,
    args: &Args,
    object: &Object,
    options: &Value,
) -> anyhow::Result<Option<String>> {
    let path = object.path();
    if args.dry_run.is_client() {
        return http::get(client, &path).await.map(|_| None);
    }
    let answer = http::delete(client, &path, options).await?;
    let uid = [&answer["metadata"]["uid"], &answer["details"]["uid"]];
    Ok(uid.into_iter().find_map(Value::as_str).map(str::to_owned))
}

fn say(args: &Args, object: &Object) {
    if matches!(args.output, Some(Output::Name)) {
        return println!("{}", object.slashed());
    }
    let done = if args.force {
        "force deleted"
    } else {
        "deleted"
    };
    println!(
        "{} {:?} {done}{}",
        object.resource.qualified(),
        object.name(),
        args.dry_run.suffix()
    );
}

async fn wait(
    client: &Client,
    going: Vec<(Object, Option<String>)>,
    deadline: Option<Instant>,
    failures: &mut Failures,
) {
    let mut waiting =
        futures::stream::iter(going)
            .map(|(object, uid)| async move {
                until_gone(client, &object, uid.as_deref(), deadline).await
            })
            .buffer_unordered(AT_ONCE);
    while let Some(gone) = waiting.next().await {
        failures.keep(gone);
    }
}

/// Until there is no such object, or another of its name. A `deadline` of `None` is never.
pub async fn until_gone(
    client: &Client,
    object: &Object,
    uid: Option<&str>,
    deadline: Option<Instant>,
) -> anyhow::Result<()> {
    let mut pause = FIRST_PAUSE;
    loop {
        match http::get(client, &object.path()).await {
            Err(error) if http::is_not_found(&error) => return Ok(()),
            Err(error) => return Err(error),
            Ok(now) if uid.is_some() && now["metadata"]["uid"].as_str() != uid => return Ok(()),
            Ok(_) => {}
        }
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            let plural = &object.resource.plural;
            return Err(anyhow!(
                "timed out waiting for the condition on {plural}/{}",
                object.name()
            ));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
