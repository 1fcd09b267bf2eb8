//! `podnet delete`.

use std::process::ExitCode;
use std::time::Duration;

use futures::StreamExt;
use http::{Method, Request, header};
use kube::Client;
use serde_json::{Value, json};

use super::manifest::{FileArg, Manifest};
use super::resource::{Resource, escape, split};
use super::{LabArg, SelectorArg, explain, one_way_to_choose};

/// Objects looked at at a time while waiting for them to go.
const AT_ONCE: usize = 16;
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub(super) lab: LabArg,
    /// What to delete: a resource and names, or RESOURCE/NAME
    #[arg(required_unless_present = "filename", value_name = "RESOURCE [NAME]")]
    words: Vec<String>,
    #[command(flatten)]
    file: FileArg,
    /// [default: default]
    #[arg(short, long)]
    namespace: Option<String>,
    #[command(flatten)]
    selector: SelectorArg,
    /// All of them in the namespace
    #[arg(long)]
    all: bool,
    /// Seconds that each gets to end by itself
    #[arg(long, value_name = "SECONDS")]
    grace_period: Option<i64>,
    /// Wait until they are gone
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set)]
    wait: bool,
}

/// One object to delete.
struct Doomed {
    resource: Resource,
    name: String,
    path: String,
}

/// All that can be deleted is, even if some cannot: 1 then.
pub async fn run(client: &Client, args: &Args) -> anyhow::Result<ExitCode> {
    let doomed = match args.words.is_empty() {
        true => in_files(args)?,
        false => named(client, args).await?,
    };
    let mut failed = false;
    let mut going = Vec::new();
    for Doomed {
        resource,
        name,
        path,
    } in doomed
    {
        match delete(client, &path, args.grace_period).await {
            Ok(uid) => {
                println!("{} \"{name}\" deleted", resource.singular);
                going.push((path, uid));
            }
            Err(error) => {
                eprintln!("error: {:#}", explain(error));
                failed = true;
            }
        }
    }
    if args.wait {
        wait(client, going).await?;
    }
    Ok(ExitCode::from(u8::from(failed)))
}

fn in_files(args: &Args) -> anyhow::Result<Vec<Doomed>> {
    let doom = |manifest: Manifest| {
        Ok(Doomed {
            path: manifest.path(args.namespace.as_deref())?,
            resource: manifest.resource,
            name: manifest.name,
        })
    };
    args.file.read()?.into_iter().map(doom).collect()
}

async fn named(client: &Client, args: &Args) -> anyhow::Result<Vec<Doomed>> {
    if !args.file.filename.is_empty() {
        anyhow::bail!("give -f FILE, or a resource and names, but not both");
    }
    let (resource, mut names) = split(&args.words)?;
    one_way_to_choose(&names, args.all || args.selector.is_given())?;
    let namespace = args.namespace.as_deref().unwrap_or("default");
    let collection = resource.collection(Some(namespace));
    if names.is_empty() {
        names = chosen(client, &args.selector.apply(&collection)).await?;
        if names.is_empty() {
            eprintln!("No resources found");
        }
    }
    let doom = |name: String| Doomed {
        path: format!("{collection}/{}", escape(&name)),
        resource,
        name,
    };
    Ok(names.into_iter().map(doom).collect())
}

/// The names of what is listed under `url`.
async fn chosen(client: &Client, url: &str) -> anyhow::Result<Vec<String>> {
    let request = Request::get(url).body(Vec::new())?;
    let list: Value = client.request(request).await.map_err(explain)?;
    let items = list["items"].as_array().map_or(&[][..], Vec::as_slice);
    let name = |item: &Value| item["metadata"]["name"].as_str().map(str::to_owned);
    Ok(items.iter().filter_map(name).collect())
}

/// The uid of what is going, as far as the answer tells.
async fn delete(
    client: &Client,
    path: &str,
    grace_seconds: Option<i64>,
) -> Result<Option<String>, kube::Error> {
    let options = json!({
        "apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": grace_seconds,
    });
    let request = Request::builder()
        .method(Method::DELETE)
        .uri(path)
        .header(header::CONTENT_TYPE, "application/json")
        .body(options.to_string().into_bytes())
        .map_err(kube::Error::HttpError)?;
    let answer: Value = client.request(request).await?;
    let uid = [&answer["metadata"]["uid"], &answer["details"]["uid"]];
    Ok(uid.into_iter().find_map(Value::as_str).map(str::to_owned))
}

async fn wait(client: &Client, going: Vec<(String, Option<String>)>) -> anyhow::Result<()> {
    let mut waiting = futures::stream::iter(going)
        .map(|(path, uid)| async move {
            let gone = until_gone(client, &path, uid.as_deref()).await;
            gone.map_err(|error| explain(error).context(format!("wait for {path}")))
        })
        .buffer_unordered(AT_ONCE);
    while let Some(gone) = waiting.next().await {
        gone?;
    }
    Ok(())
}

async fn until_gone(client: &Client, path: &str, uid: Option<&str>) -> Result<(), kube::Error> {
    let mut pause = FIRST_PAUSE;
    loop {
        let request = Request::get(path)
            .body(Vec::new())
            .map_err(kube::Error::HttpError)?;
        match client.request::<Value>(request).await {
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
            Err(error) => return Err(error),
            Ok(now) if now["metadata"]["uid"].as_str() != uid => return Ok(()),
            Ok(_) => {}
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
