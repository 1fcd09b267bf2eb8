//! `podnet replace`.

use std::process::ExitCode;

use anyhow::bail;
use kube::Client;
use serde_json::Value;

use super::create::save_config;
use super::failure::{Failures, when};
use super::going::GoingArg;
use super::manifest::{FileArg, Resolved};
use super::print::SayArg;
use super::resource::{Catalog, Object, escape};
use super::validate::ValidateArg;
use super::{ClusterArg, DryRunArg, http, raw};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub(super) cluster: ClusterArg,
    #[command(flatten)]
    files: FileArg,
    /// Where objects go that name no namespace [default: default]
    #[arg(short, long)]
    namespace: Option<String>,
    /// Delete the objects and make them anew
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    going: GoingArg,
    /// A part of the object: status, scale
    #[arg(long, value_name = "PART")]
    subresource: Option<String>,
    /// A path of the API to put the file to as it is
    #[arg(long, value_name = "PATH")]
    raw: Option<String>,
    /// Keep what was sent in an annotation, as kubectl apply does
    #[arg(long)]
    save_config: bool,
    /// As whom to own what is set
    #[arg(long, value_name = "NAME", default_value = "kubectl-replace")]
    field_manager: String,
    #[command(flatten)]
    validate: ValidateArg,
    #[command(flatten)]
    dry_run: DryRunArg,
    #[command(flatten)]
    say: SayArg,
}

impl Args {
    fn check(&self) -> anyhow::Result<()> {
        if !self.files.is_given() {
            bail!("must specify -f FILE");
        }
        if self.force && self.dry_run.is_any() {
            bail!("--dry-run can not be used when --force is set");
        }
        if !self.force {
            self.going.check_unused()?;
        }
        self.validate.parameter().map(drop)
    }

    fn parameters(&self) -> anyhow::Result<String> {
        Ok(format!(
            "fieldManager={}&fieldValidation={}{}",
            escape(&self.field_manager),
            self.validate.parameter()?,
            self.dry_run.parameter()
        ))
    }
}

/// All that can be replaced is, even if some cannot: 1 then.
pub async fn run(client: &Client, args: &Args) -> anyhow::Result<ExitCode> {
    args.check()?;
    if let Some(path) = &args.raw {
        raw::check(path, args.say.output())?;
        return raw::send(client, http::Method::PUT, path, args.files.read_raw()?).await;
    }
    let manifests = args.files.read()?;
    let catalog = Catalog::discover(client).await?;
    let mut failures = Failures::default();
    let resolve = manifests.into_iter().filter_map(|manifest| {
        failures.keep(manifest.resolve(&catalog, args.namespace.as_deref()))
    });
    let mut manifests: Vec<Resolved> = resolve.collect();
    if args.force {
        for manifest in &manifests {
            failures.keep(delete(client, args, manifest).await);
        }
    }
    let mut voice = args.say.voice();
    let done = format!("replaced{}", args.dry_run.suffix());
    for manifest in &mut manifests {
        if args.save_config {
            save_config(&mut manifest.object);
        }
        match replace(client, args, manifest).await {
            Ok(object) => voice.say(&manifest.resource, &object, &done)?,
            Err(error) => failures.add(when(error, "replacing", &manifest.source)),
        }
    }
    failures.into_result()?;
    Ok(ExitCode::SUCCESS)
}

/// It may not be there.
async fn delete(client: &Client, args: &Args, manifest: &Resolved) -> anyhow::Result<()> {
    let value = match http::get(client, &manifest.path()).await {
        Err(error) if http::is_not_found(&error) => return Ok(()),
        value => value?,
    };
    let resource = manifest.resource.clone();
    args.going
        .delete(client, &Object { resource, value })
        .await?;
    println!(
        "{} {:?} deleted",
        manifest.resource.qualified(),
        manifest.name()
    );
    Ok(())
}

/// The object as it is now.
async fn replace(client: &Client, args: &Args, manifest: &Resolved) -> anyhow::Result<Value> {
    if args.dry_run.is_client() {
        return Ok(manifest.object.clone());
    }
    let parameters = args.parameters()?;
    if args.force {
        let url = format!("{}?{parameters}", manifest.collection());
        return http::post(client, &url, &manifest.object).await;
    }
    let part = args
        .subresource
        .iter()
        .map(|part| format!("/{}", escape(part)));
    let path = manifest.path() + &part.collect::<String>();
    let live = http::get(client, &path).await?;
    let mut object = manifest.object.clone();
    let version = &mut object["metadata"]["resourceVersion"];
    if version.as_str().unwrap_or_default().is_empty() {
        // Whatever it is now is to go.
        *version = live["metadata"]["resourceVersion"].clone();
    }
    http::put(client, &format!("{path}?{parameters}"), &object).await
}
