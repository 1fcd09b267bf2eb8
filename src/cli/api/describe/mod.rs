//! `podnet describe`: an object for a person, as kubectl 1.32 prints it.
//!
//! A kind with a form of its own has a function that writes it; every other kind is written field
//! by field ([`generic`]).

mod container;
mod events;
mod generic;
mod network;
mod node;
mod plain;
mod pod;
mod policy;
mod requests;
mod template;
mod volume;
mod workload;
mod writer;

use std::process::ExitCode;

use anyhow::Context;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use kube::Client;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::failure::Failures;
use super::resource::{Catalog, Object};
use super::select::{All, ChoiceArg, ChunkArg, Source, taken_apart};
use super::{ClusterArg, http};
use events::Events;
use writer::Writer;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub(super) cluster: ClusterArg,
    /// What to describe: a resource, then names or their beginning, if any; or RESOURCE/NAME
    #[arg(required_unless_present = "filename", value_name = "RESOURCE [NAME]")]
    words: Vec<String>,
    #[command(flatten)]
    choice: ChoiceArg,
    #[command(flatten)]
    chunks: ChunkArg,
    /// With what happened to it
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1,
        default_missing_value = "true", require_equals = true)]
    show_events: bool,
}

/// What a description is made with.
struct Scene<'a> {
    client: &'a Client,
    show_events: bool,
}

impl Scene<'_> {
    /// Those of `object`; `None` if nobody wants them.
    async fn events(&self, object: &Object) -> anyhow::Result<Option<Events>> {
        self.events_of(object, &object.resource.kind).await
    }

    /// As [`Scene::events`], of any kind where `kind` is empty.
    async fn events_of(&self, object: &Object, kind: &str) -> anyhow::Result<Option<Events>> {
        match self.show_events {
            true => Ok(Some(Events::of(self.client, object, kind).await?)),
            false => Ok(None),
        }
    }
}

/// One object's description after the other: 1 if some could not be described.
pub async fn run(client: &Client, args: &Args) -> anyhow::Result<ExitCode> {
    let catalog = Catalog::discover(client).await?;
    let choice = args.choice.of(&args.words, All::Yes);
    let scene = Scene {
        client,
        show_events: args.show_events,
    };
    let sources = choice.sources(&catalog)?;
    let mut failures = Failures::default();
    let mut objects = Vec::new();
    for source in &sources {
        match source.fetch_by(client, args.chunks.chunk_size).await {
            Ok(found) => objects.extend(found),
            Err(error) if http::is_not_found(&error) && sources.len() == 1 => {
                return by_beginning(&scene, args, source, error).await;
            }
            Err(error) => failures.add(error),
        }
    }
    for (index, object) in objects.iter().enumerate() {
        if let Some(text) = failures.keep(describe(&scene, object).await) {
            let gap = if index > 0 { "\n\n" } else { "" };
            print!("{gap}{text}");
        }
    }
    if objects.is_empty() && failures.are_none() {
        match args.choice.scope.all_namespaces {
            true => eprintln!("No resources found"),
            false => eprintln!(
                "No resources found in {} namespace.",
                args.choice.scope.namespace()
            ),
        }
    }
    failures.into_result()?;
    Ok(ExitCode::SUCCESS)
}

/// All objects whose name begins as asked; nobody types what a replica set calls its pods.
async fn by_beginning(
    scene: &Scene<'_>,
    args: &Args,
    source: &Source,
    missing: anyhow::Error,
) -> anyhow::Result<ExitCode> {
    let Source::One { resource, name, .. } = source else {
        return Err(missing);
    };
    let list = http::get(scene.client, &args.choice.scope.collection(resource)).await?;
    let mut found = taken_apart(resource, list);
    found.retain(|object| object.name().starts_with(name));
    if found.is_empty() {
        return Err(missing);
    }
    for object in &found {
        println!("{}", describe(scene, object).await?);
    }
    Ok(ExitCode::SUCCESS)
}

async fn describe(scene: &Scene<'_>, object: &Object) -> anyhow::Result<String> {
    let resource = &object.resource;
    match (resource.group.as_str(), resource.kind.as_str()) {
        ("", "Pod") => pod::describe(scene, object).await,
        ("", "Node") => node::describe(scene, object).await,
        ("", "Namespace") => plain::namespace(object),
        ("", "ConfigMap") => plain::config_map(scene, object).await,
        ("", "ServiceAccount") => plain::service_account(scene, object).await,
        ("", "Service") => network::service(scene, object).await,
        ("", "Endpoints") => network::endpoints(scene, object).await,
        ("discovery.k8s.io", "EndpointSlice") => network::endpoint_slice(scene, object).await,
        ("networking.k8s.io", "NetworkPolicy") => policy::describe(object),
        ("apps", "DaemonSet") => workload::daemon_set(scene, object).await,
        ("apps", "Deployment") => workload::deployment(scene, object).await,
        ("apps", "ReplicaSet") => workload::replica_set(scene, object).await,
        _ => generic::describe(scene, object).await,
    }
}

/// A template for pods by itself, which kubectl lays out in no columns.
pub fn template_text(template: &Value) -> anyhow::Result<String> {
    let template: PodTemplateSpec = serde_json::from_value(template.clone())?;
    let mut w = Writer::new();
    template::write(&mut w, &template);
    Ok(w.finish_raw())
}

fn typed<T: DeserializeOwned>(object: &Object) -> anyhow::Result<T> {
    let typed = serde_json::from_value(object.value.clone());
    typed.with_context(|| format!("{} is not as Kubernetes has them", object.slashed()))
}
