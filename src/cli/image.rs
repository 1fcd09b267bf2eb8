//! `podnet image`: the images that were loaded into a lab.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use clap::Subcommand;
use comfy_table::Table;
use comfy_table::presets::NOTHING;
use k8s_openapi::api::core::v1::{Container, Pod};
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use serde_json::json;

use crate::lab::LabDir;
use crate::pod::image::{self, Reference, Store};

use super::{Format, LabArg, client, print_structured};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Load an image from a file: an OCI layout, or what `docker save` wrote
    Load(LoadArgs),
    /// List the images that were loaded
    List(ListArgs),
    /// Remove an image that was loaded
    Remove(RemoveArgs),
}

#[derive(Debug, clap::Args)]
pub struct LoadArgs {
    #[command(flatten)]
    lab: LabArg,
    /// A tar archive, compressed or not, or a directory
    file: PathBuf,
    /// The image's name [default: the one it has]
    #[arg(long, value_name = "NAME[:TAG]")]
    name: Option<String>,
}

#[derive(Debug, clap::Args)]
pub struct ListArgs {
    #[command(flatten)]
    lab: LabArg,
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

#[derive(Debug, clap::Args)]
pub struct RemoveArgs {
    #[command(flatten)]
    lab: LabArg,
    name: String,
    /// Even if a pod uses it, which then loses its files
    #[arg(long)]
    force: bool,
}

pub fn run(command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Load(args) => load(args),
        Command::List(args) => list(args),
        Command::Remove(args) => remove(args),
    }
}

fn load(args: &LoadArgs) -> anyhow::Result<ExitCode> {
    let store = store(&lab(&args.lab)?);
    for name in image::load(&store, &args.file, args.name.as_deref())? {
        println!("{name}");
    }
    Ok(ExitCode::SUCCESS)
}

fn list(args: &ListArgs) -> anyhow::Result<ExitCode> {
    let images = store(&lab(&args.lab)?).list()?;
    let objects: Vec<_> = images
        .iter()
        .map(|(name, loaded)| {
            json!({
                "name": name, "id": loaded.id, "sizeBytes": loaded.size_bytes, "file": loaded.origin.path,
            })
        })
        .collect();
    if print_structured(args.output, &objects)? {
        return Ok(ExitCode::SUCCESS);
    }
    if images.is_empty() {
        eprintln!("no image was loaded; `podnet image load FILE` does it");
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_header(["NAME", "ID", "MIB", "FILE"]);
    for (name, loaded) in &images {
        let id: String = loaded
            .id
            .trim_start_matches("sha256:")
            .chars()
            .take(12)
            .collect();
        let size = format!("{:.1}", loaded.size_bytes as f64 / f64::from(1 << 20));
        table.add_row([
            name.clone(),
            id,
            size,
            loaded.origin.path.display().to_string(),
        ]);
    }
    println!("{}", table.trim_fmt());
    Ok(ExitCode::SUCCESS)
}

fn remove(args: &RemoveArgs) -> anyhow::Result<ExitCode> {
    let dir = lab(&args.lab)?;
    let Some(wanted) = Reference::parse(&args.name) else {
        bail!(
            "{:?} is not an image's name; `podnet image list` shows those there are",
            args.name
        );
    };
    if !args.force && dir.is_live()? {
        let users = users(&dir, &wanted)?;
        if !users.is_empty() {
            bail!(
                "image {wanted} is in use by {}; delete them first, or use --force",
                users.join(", ")
            );
        }
    }
    let removed = store(&dir).remove(&wanted)?;
    println!("{removed}");
    Ok(ExitCode::SUCCESS)
}

/// Pods that run it, or might again.
fn users(dir: &LabDir, image: &Reference) -> anyhow::Result<Vec<String>> {
    let pods = client::runtime()?.block_on(async {
        let pods: Api<Pod> = Api::all(client::connect(dir).await?);
        anyhow::Ok(pods.list(&ListParams::default()).await?)
    })?;
    let is_it = |container: &Container| {
        let named = Reference::parse(container.image.as_deref().unwrap_or_default());
        named.is_some_and(|named| {
            named.name == image.name && named.tag_or_latest() == image.tag_or_latest()
        })
    };
    let uses = |pod: &&Pod| {
        let phase = pod
            .status
            .as_ref()
            .and_then(|status| status.phase.as_deref());
        let spec = pod
            .spec
            .as_ref()
            .filter(|_| !matches!(phase, Some("Succeeded" | "Failed")));
        spec.is_some_and(|spec| {
            let first = spec.init_containers.iter().flatten();
            first.chain(&spec.containers).any(is_it)
        })
    };
    Ok(pods
        .iter()
        .filter(uses)
        .map(ResourceExt::name_any)
        .collect())
}

/// Up or not: images stay for the next `up`.
fn lab(lab: &LabArg) -> anyhow::Result<LabDir> {
    let dir = lab.dir()?;
    if !dir.exists()? {
        bail!("there is no lab {}; `podnet up` makes it", dir.name());
    }
    Ok(dir)
}

fn store(dir: &LabDir) -> Store {
    Store::new(dir.images())
}
