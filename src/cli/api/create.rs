//! `podnet create`.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail};
use kube::Client;
use serde_json::{Map, Value, json};

use super::apply::LAST_APPLIED;
use super::failure::{Failures, when};
use super::manifest::{FileArg, Manifest, Resolved, selected};
use super::print::SayArg;
use super::resource::{Catalog, escape};
use super::validate::ValidateArg;
use super::{ClusterArg, DryRunArg, http, raw};

const MANAGER: &str = "kubectl-create";

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Args {
    #[command(flatten)]
    cluster: ClusterArg,
    #[command(flatten)]
    files: FileArg,
    /// Only objects of the file with these labels
    #[arg(short = 'l', long)]
    selector: Option<String>,
    /// A path of the API to send the file to as it is
    #[arg(long, value_name = "PATH")]
    raw: Option<String>,
    #[command(flatten)]
    how: How,
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, clap::Args)]
struct How {
    /// Where objects go that name no namespace [default: default]
    #[arg(short, long)]
    namespace: Option<String>,
    /// As whom to own what is made
    #[arg(long, value_name = "NAME", default_value = MANAGER)]
    field_manager: String,
    /// Keep what was sent in an annotation, as kubectl apply does
    #[arg(long)]
    save_config: bool,
    #[command(flatten)]
    validate: ValidateArg,
    #[command(flatten)]
    dry_run: DryRunArg,
    #[command(flatten)]
    say: SayArg,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// A namespace
    #[command(visible_alias = "ns")]
    Namespace {
        #[command(flatten)]
        cluster: ClusterArg,
        name: String,
        #[command(flatten)]
        how: How,
    },
    /// A config map, of literals and files
    #[command(name = "configmap", visible_alias = "cm")]
    ConfigMap {
        #[command(flatten)]
        cluster: ClusterArg,
        name: String,
        /// A key and what it holds
        #[arg(long, value_name = "KEY=VALUE")]
        from_literal: Vec<String>,
        /// A file, under its own name or a given one; all files of a directory
        #[arg(long, value_name = "[KEY=]PATH")]
        from_file: Vec<String>,
        #[command(flatten)]
        how: How,
    },
    /// A deployment of one image
    #[command(visible_alias = "deploy")]
    Deployment {
        #[command(flatten)]
        cluster: ClusterArg,
        name: String,
        #[arg(long)]
        image: String,
        #[arg(short, long, default_value_t = 1)]
        replicas: i32,
        /// A port that its containers have
        #[arg(long)]
        port: Option<u16>,
        #[command(flatten)]
        how: How,
        /// What to run in place of the image's own command, after --
        #[arg(last = true, value_name = "COMMAND")]
        command: Vec<String>,
    },
}

impl Args {
    pub(super) fn cluster(&self) -> &ClusterArg {
        match &self.what {
            None => &self.cluster,
            Some(
                What::Namespace { cluster, .. }
                | What::ConfigMap { cluster, .. }
                | What::Deployment { cluster, .. },
            ) => cluster,
        }
    }
}

/// All that can be created is, even if some cannot: 1 then.
pub async fn run(client: &Client, args: &Args) -> anyhow::Result<ExitCode> {
    if let (Some(path), true) = (&args.raw, args.files.is_given()) {
        raw::check(path, args.how.say.output())?;
        return raw::send(client, http::Method::POST, path, args.files.read_raw()?).await;
    }
    let (manifests, how) = match &args.what {
        Some(what) => {
            let (object, how) = what.object()?;
            let source = String::new();
            (vec![Manifest { object, source }], how)
        }
        None if args.files.is_given() => {
            let selected = selected(args.files.read()?, args.selector.as_ref())?;
            if selected.is_empty() {
                bail!("no objects passed to create");
            }
            (selected, &args.how)
        }
        None => bail!("must specify -f FILE, or what to create"),
    };
    how.validate.parameter()?;
    let catalog = Catalog::discover(client).await?;
    let mut voice = how.say.voice();
    let mut failures = Failures::default();
    for manifest in manifests {
        let resolved = manifest.resolve(&catalog, how.namespace.as_deref());
        let Some(mut manifest) = failures.keep(resolved) else {
            continue;
        };
        if how.save_config {
            save_config(&mut manifest.object);
        }
        match create(client, how, &manifest).await {
            Ok(made) => {
                let done = format!("created{}", how.dry_run.suffix());
                voice.say(&manifest.resource, &made, &done)?;
            }
            Err(error) if manifest.source.is_empty() && manifest.resource.namespaced => {
                let what = format!("failed to create {}", manifest.resource.singular);
                failures.add(prefixed(error, &what));
            }
            Err(error) if manifest.source.is_empty() => failures.add(error),
            Err(error) => failures.add(when(error, "creating", &manifest.source)),
        }
    }
    failures.into_result()?;
    Ok(ExitCode::SUCCESS)
}

/// Of one that is no file's: `error: failed to create namespace: …`.
fn prefixed(error: anyhow::Error, what: &str) -> anyhow::Error {
    match error.downcast::<http::Refusal>() {
        Ok(refusal) => anyhow::anyhow!("{what}: {refusal}"),
        Err(error) => error,
    }
}

async fn create(client: &Client, how: &How, manifest: &Resolved) -> anyhow::Result<Value> {
    if how.dry_run.is_client() {
        return Ok(manifest.object.clone());
    }
    let url = format!(
        "{}?fieldManager={}&fieldValidation={}{}",
        manifest.collection(),
        escape(&how.field_manager),
        how.validate.parameter()?,
        how.dry_run.parameter()
    );
    http::post(client, &url, &manifest.object).await
}

/// Keeps an object in an annotation of its own.
pub fn save_config(object: &mut Value) {
    let mut config = object.clone();
    if let Some(metadata) = config["metadata"].as_object_mut() {
        let annotations = metadata.entry("annotations").or_insert_with(|| json!({}));
        if let Some(annotations) = annotations.as_object_mut() {
            annotations.shift_remove(LAST_APPLIED);
        }
    }
    config.sort_all_objects();
    object["metadata"]["annotations"][LAST_APPLIED] = format!("{config}\n").into();
}

impl What {
    fn object(&self) -> anyhow::Result<(Value, &How)> {
        Ok(match self {
            What::Namespace { name, how, .. } => {
                let object = json!({
                    "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name},
                });
                (object, how)
            }
            What::ConfigMap {
                name,
                from_literal,
                from_file,
                how,
                ..
            } => {
                let mut data = Map::new();
                for literal in from_literal {
                    let (key, value) = literal.split_once('=').with_context(|| {
                        format!("invalid literal source {literal}, expected key=value")
                    })?;
                    put(&mut data, name, key, value.to_owned())?;
                }
                for source in from_file {
                    read_file(source, name, &mut data)?;
                }
                let object = json!({
                    "apiVersion": "v1", "data": data, "kind": "ConfigMap",
                    "metadata": {"name": name},
                });
                (object, how)
            }
            What::Deployment {
                name,
                image,
                replicas,
                port,
                how,
                command,
                ..
            } => {
                let mut container = json!({"image": image, "name": container_name(image)});
                if let Some(port) = port {
                    container["ports"] = json!([{"containerPort": port}]);
                }
                if !command.is_empty() {
                    container["command"] = json!(command);
                }
                let labels = json!({"app": name});
                let object = json!({
                    "apiVersion": "apps/v1", "kind": "Deployment",
                    "metadata": {"labels": labels, "name": name},
                    "spec": {
                        "replicas": replicas, "selector": {"matchLabels": labels},
                        "template": {
                            "metadata": {"labels": labels}, "spec": {"containers": [container]},
                        },
                    },
                });
                (object, how)
            }
        })
    }
}

/// The last part of the image's name: `registry.k8s.io/pause:3.9` runs in a container `pause`.
fn container_name(image: &str) -> String {
    let last = image.rsplit('/').next().unwrap_or(image);
    last.split([':', '@'])
        .next()
        .unwrap_or(last)
        .replace(['_', '.'], "-")
}

/// No key is given twice.
fn put(
    data: &mut Map<String, Value>,
    config_map: &str,
    key: &str,
    text: String,
) -> anyhow::Result<()> {
    match data.insert(key.to_owned(), text.into()) {
        None => Ok(()),
        Some(_) => bail!(
            "cannot add key {key:?}, another key by that name already exists in Data for ConfigMap \
             {config_map:?}"
        ),
    }
}

fn read_file(source: &str, config_map: &str, data: &mut Map<String, Value>) -> anyhow::Result<()> {
    let (key, path) = match source.split_once('=') {
        Some((key, path)) => (Some(key), Path::new(path)),
        None => (None, Path::new(source)),
    };
    let mut files = vec![path.to_owned()];
    if path.is_dir() {
        let entries =
            fs::read_dir(path).with_context(|| format!("cannot list {}", path.display()))?;
        files = entries
            .map(|entry| Ok(entry?.path()))
            .collect::<std::io::Result<_>>()?;
        files.retain(|file| file.is_file());
    }
    for file in files {
        let text = fs::read_to_string(&file)
            .with_context(|| format!("error reading {}", file.display()))?;
        let own = file
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        put(data, config_map, key.unwrap_or(own), text)?;
    }
    Ok(())
}
