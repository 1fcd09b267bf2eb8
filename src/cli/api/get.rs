//! `podnet get`.

use std::process::ExitCode;

use clap::ValueEnum;
use http::{Request, header};
use kube::Client;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::resource::{Resource, escape, split};
use super::table::Table;
use super::{LabArg, NamespaceArg, SelectorArg, explain};

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";
const PLAIN: &str = "application/json";

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Table,
    Wide,
    Json,
    Yaml,
    Name,
}

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub(super) lab: LabArg,
    /// What to list: pods, nodes, namespaces, events, configmaps, leases; then names, if any
    #[arg(required = true, value_name = "RESOURCE [NAME]")]
    words: Vec<String>,
    #[command(flatten)]
    namespace: NamespaceArg,
    /// In every namespace
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    #[command(flatten)]
    selector: SelectorArg,
    /// How to print it
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
}

pub async fn run(client: &Client, args: &Args) -> anyhow::Result<ExitCode> {
    let (resource, names) = split(&args.words)?;
    let collection = collection(&resource, args);
    let paths = match names.is_empty() {
        true => vec![args.selector.apply(&collection)],
        false => names
            .iter()
            .map(|n| format!("{collection}/{}", escape(n)))
            .collect(),
    };
    match args.output {
        Output::Table | Output::Wide => print_tables(client, args, &resource, &paths).await?,
        Output::Json | Output::Yaml | Output::Name => {
            print_objects(client, args, &resource, &paths, names.len()).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn collection(resource: &Resource, args: &Args) -> String {
    let one = Some(args.namespace.namespace.as_str()).filter(|_| !args.all_namespaces);
    resource.collection(one)
}

async fn print_tables(
    client: &Client,
    args: &Args,
    resource: &Resource,
    paths: &[String],
) -> anyhow::Result<()> {
    let mut all: Option<Table> = None;
    for path in paths {
        let table: Table = fetch(client, path, TABLE).await?;
        match &mut all {
            Some(all) => all.rows.extend(table.rows),
            None => all = Some(table),
        }
    }
    match all.filter(|table| !table.rows.is_empty()) {
        Some(table) => {
            let with_namespace = args.all_namespaces && resource.namespaced;
            print!(
                "{}",
                table.render(args.output == Output::Wide, with_namespace)
            );
        }
        None if args.all_namespaces || !resource.namespaced => eprintln!("No resources found"),
        None => eprintln!(
            "No resources found in {} namespace.",
            args.namespace.namespace
        ),
    }
    Ok(())
}

async fn print_objects(
    client: &Client,
    args: &Args,
    resource: &Resource,
    paths: &[String],
    named: usize,
) -> anyhow::Result<()> {
    let mut objects: Vec<Value> = Vec::new();
    for path in paths {
        objects.push(fetch(client, path, PLAIN).await?);
    }
    for object in &mut objects {
        hide_field_owners(object);
    }
    let shown = match (named, objects.pop()) {
        (0 | 1, Some(only)) => only,
        (_, last) => {
            objects.extend(last);
            json!({"apiVersion": "v1", "kind": "List", "items": objects})
        }
    };
    match args.output {
        Output::Json => println!("{}", serde_json::to_string_pretty(&shown)?),
        Output::Yaml => print!("{}", serde_saphyr::to_string(&shown)?),
        _ => {
            let single = std::slice::from_ref(&shown);
            let items = shown["items"].as_array().map_or(single, Vec::as_slice);
            for item in items {
                let name = item["metadata"]["name"].as_str().unwrap_or_default();
                println!("{}/{name}", resource.singular);
            }
        }
    }
    Ok(())
}

/// Who owns which field is for programs; kubectl does not show it either.
fn hide_field_owners(object: &mut Value) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.shift_remove("managedFields");
    }
    if let Some(Value::Array(items)) = object.get_mut("items") {
        items.iter_mut().for_each(hide_field_owners);
    }
}

async fn fetch<T: DeserializeOwned>(
    client: &Client,
    path: &str,
    accept: &str,
) -> anyhow::Result<T> {
    let request = Request::get(path)
        .header(header::ACCEPT, accept)
        .body(Vec::new())?;
    client.request(request).await.map_err(explain)
}
