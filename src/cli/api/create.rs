//! `podnet create -f`.

use std::process::ExitCode;

use anyhow::bail;
use http::{Method, Request, header};
use kube::Client;
use serde_json::Value;

use super::manifest::{FileArg, Manifest};
use super::{LabArg, explain};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub(super) lab: LabArg,
    #[command(flatten)]
    file: FileArg,
    /// Where objects go that name no namespace [default: default]
    #[arg(short, long)]
    namespace: Option<String>,
}

/// All that can be created is, even if some cannot: 1 then.
pub async fn run(client: &Client, args: &Args) -> anyhow::Result<ExitCode> {
    let manifests = args.file.read()?;
    if manifests.is_empty() {
        bail!("say what to create: -f FILE");
    }
    let mut failed = false;
    for manifest in &manifests {
        let url = manifest.collection(args.namespace.as_deref())?;
        match create(client, &url, manifest).await {
            Ok(name) => println!("{}/{name} created", manifest.resource.singular),
            Err(error) => {
                eprintln!("error: {:#}", explain(error));
                failed = true;
            }
        }
    }
    Ok(ExitCode::from(u8::from(failed)))
}

/// The name that it got.
async fn create(client: &Client, url: &str, manifest: &Manifest) -> Result<String, kube::Error> {
    let request = Request::builder()
        .method(Method::POST)
        .uri(format!("{url}?fieldValidation=Strict"))
        .header(header::CONTENT_TYPE, "application/json")
        .body(manifest.object.to_string().into_bytes())
        .map_err(kube::Error::HttpError)?;
    let made: Value = client.request(request).await?;
    let name = made.pointer("/metadata/name").and_then(Value::as_str);
    Ok(name.unwrap_or(&manifest.name).to_owned())
}
