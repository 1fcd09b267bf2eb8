//! `podnet api-resources`.

use std::process::ExitCode;

use anyhow::bail;
use kube::Client;

use super::ClusterArg;
use super::print::tabs::Tabs;
use super::resource::{Catalog, Resource};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub(super) cluster: ClusterArg,
    /// Only those in namespaces (true), or only the others (false)
    #[arg(long)]
    namespaced: Option<bool>,
    /// Only those of this group
    #[arg(long, value_name = "GROUP")]
    api_group: Option<String>,
    /// Only those in all of these categories
    #[arg(long, value_name = "CATEGORY", value_delimiter = ',')]
    categories: Vec<String>,
    /// Only those with all of these verbs
    #[arg(long, value_name = "VERB", value_delimiter = ',')]
    verbs: Vec<String>,
    /// name or kind; without, by group and name
    #[arg(long, value_name = "WHAT")]
    sort_by: Option<String>,
    /// As with kubectl; nothing is remembered from one time to the next
    #[arg(long)]
    cached: bool,
    /// Leave the first line out
    #[arg(long)]
    no_headers: bool,
    /// wide: with verbs and categories; name: nothing but names
    #[arg(short, long, value_parser = ["wide", "name"], value_name = "FORMAT")]
    output: Option<String>,
}

pub async fn run(client: &Client, args: &Args) -> anyhow::Result<ExitCode> {
    if !matches!(args.sort_by.as_deref(), None | Some("name" | "kind")) {
        bail!("--sort-by accepts only name or kind");
    }
    let catalog = Catalog::discover(client).await?;
    let has_all = |all: &[String], wanted: &[String]| wanted.iter().all(|one| all.contains(one));
    let is_wanted = |resource: &&Resource| {
        args.namespaced
            .is_none_or(|wanted| resource.namespaced == wanted)
            && args
                .api_group
                .as_ref()
                .is_none_or(|group| resource.group == *group)
            && has_all(&resource.categories, &args.categories)
            && has_all(&resource.verbs, &args.verbs)
    };
    let mut resources: Vec<&Resource> = catalog
        .all()
        .iter()
        .map(AsRef::as_ref)
        .filter(is_wanted)
        .collect();
    resources.sort_by_key(|resource| (&resource.group, &resource.plural));
    match args.sort_by.as_deref() {
        Some("name") => resources.sort_by_key(|resource| &resource.plural),
        Some(_) => resources.sort_by_key(|resource| &resource.kind),
        None => {}
    }
    let wide = args.output.as_deref() == Some("wide");
    if args.output.as_deref() == Some("name") {
        for resource in resources {
            let group = &resource.group;
            let dot = if group.is_empty() { "" } else { "." };
            println!("{}{dot}{group}", resource.plural);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let mut tabs = Tabs::table();
    if !args.no_headers {
        let mut headers = vec!["NAME", "SHORTNAMES", "APIVERSION", "NAMESPACED", "KIND"];
        if wide {
            headers.extend(["VERBS", "CATEGORIES"]);
        }
        tabs.line(&headers);
    }
    for resource in resources {
        let mut cells = vec![
            resource.plural.clone(),
            resource.short_names.join(","),
            resource.api_version(),
            resource.namespaced.to_string(),
            resource.kind.clone(),
        ];
        if wide {
            cells.extend([resource.verbs.join(","), resource.categories.join(",")]);
        }
        tabs.line(&cells);
    }
    print!("{}", tabs.flush());
    Ok(ExitCode::SUCCESS)
}
