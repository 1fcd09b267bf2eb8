//! `podnet patch`.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, anyhow, bail};
use clap::ValueEnum;
use kube::Client;
use serde_json::Value;

use super::failure::Failures;
use super::print::SayArg;
use super::resource::{Catalog, escape, own_name};
use super::select::{All, ChoiceArg, Source};
use super::{ClusterArg, DryRunArg, http};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub(super) cluster: ClusterArg,
    /// What to change: a resource and names, or RESOURCE/NAME
    #[arg(required_unless_present = "filename", value_name = "RESOURCE NAME")]
    words: Vec<String>,
    #[command(flatten)]
    choice: ChoiceArg,
    /// The change, as JSON or YAML
    #[arg(short, long)]
    patch: Option<String>,
    /// A file with the change
    #[arg(long, value_name = "FILE")]
    patch_file: Option<PathBuf>,
    /// What the change looks like
    #[arg(long = "type", value_enum, default_value = "strategic")]
    form: Form,
    /// A part of the object: status, scale
    #[arg(long, value_name = "PART")]
    subresource: Option<String>,
    /// As whom to own what is changed
    #[arg(long, value_name = "NAME", default_value = "kubectl-patch")]
    field_manager: String,
    #[command(flatten)]
    dry_run: DryRunArg,
    #[command(flatten)]
    say: SayArg,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// A list of operations (RFC 6902)
    Json,
    /// A piece of the object; lists as a whole (RFC 7386)
    Merge,
    /// A piece of the object; lists by their keys
    Strategic,
}

impl Form {
    fn content_type(self) -> &'static str {
        match self {
            Form::Json => http::JSON_PATCH,
            Form::Merge => http::MERGE_PATCH,
            Form::Strategic => http::STRATEGIC_PATCH,
        }
    }
}

impl Args {
    fn change(&self) -> anyhow::Result<Value> {
        let text = match (&self.patch, &self.patch_file) {
            (Some(_), Some(_)) => bail!("cannot specify --patch and --patch-file together"),
            (Some(text), None) => text.clone(),
            (None, Some(file)) => fs::read_to_string(file)
                .with_context(|| format!("unable to read patch file {}", file.display()))?,
            (None, None) => {
                bail!("must specify --patch or --patch-file containing the contents of the patch")
            }
        };
        let unreadable = |why: &dyn std::fmt::Display| anyhow!("unable to parse {text:?}: {why}");
        match text.trim_start().starts_with(['{', '[']) {
            true => serde_json::from_str(&text).map_err(|error| unreadable(&error)),
            false => {
                serde_saphyr::from_str(&text).map_err(|error| unreadable(error.without_snippet()))
            }
        }
    }
}

/// All that can be changed is, even if some cannot: 1 then.
pub async fn run(client: &Client, args: &Args) -> anyhow::Result<ExitCode> {
    let change = args.change()?;
    let catalog = Catalog::discover(client).await?;
    let mut sources = args.choice.of(&args.words, All::No).sources(&catalog)?;
    if let Some(part) = &args.subresource {
        sources
            .iter_mut()
            .try_for_each(|source| source.part(part))?;
    }
    let mut voice = args.say.voice();
    let mut failures = Failures::default();
    for source in &sources {
        if let Some((before, after)) = failures.keep(patch(client, args, source, &change).await) {
            let done = if before == after {
                "patched (no change)"
            } else {
                "patched"
            };
            voice.say_as(&own_name(&after), &after, done)?;
        }
    }
    failures.into_result()?;
    Ok(ExitCode::SUCCESS)
}

/// The object before and after. Whoever only wants to see what would be is told by the server, which
/// knows the keys of lists.
async fn patch(
    client: &Client,
    args: &Args,
    source: &Source,
    change: &Value,
) -> anyhow::Result<(Value, Value)> {
    let before = http::get(client, source.url()).await?;
    let dry_run = if args.dry_run.is_any() {
        "&dryRun=All"
    } else {
        ""
    };
    let url = format!(
        "{}?fieldManager={}{dry_run}",
        source.url(),
        escape(&args.field_manager)
    );
    let after = http::patch(client, &url, args.form.content_type(), change).await?;
    Ok((before, after))
}
