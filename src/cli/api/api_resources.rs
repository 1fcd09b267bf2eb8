//! `podnet api-resources`.

use std::process::ExitCode;

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
    /// Leave the first line out
    #[arg(long)]
    no_headers: bool,
    /// wide: with verbs and categories; name: nothing but names
    #[arg(short, long, value_parser = ["wide", "name"], value_name = "FORMAT")]
    output: Option<String>,
}

pub async fn run(client: &Client, args: &Args) -> anyhow::Result<ExitCode> {
    let catalog = Catalog::discover(client).await?;
    let is_wanted = |resource: &&Resource| {
        args.namespaced
            .is_none_or(|wanted| resource.namespaced == wanted)
            && args
                .api_group
                .as_ref()
                .is_none_or(|group| resource.group == *group)
    };
    let mut resources: Vec<&Resource> = catalog
        .all()
        .iter()
        .map(AsRef::as_ref)
        .filter(is_wanted)
        .collect();
    resources.sort_by_key(|resource| (&resource.group, &resource.plural));
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
