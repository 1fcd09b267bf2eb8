//! `podnet get --watch`.

use std::process::ExitCode;
use std::rc::Rc;

use anyhow::bail;
use futures::{AsyncBufReadExt, StreamExt};
use kube::Client;
use kube::core::Status;
use serde_json::Value;

use super::get::{Args, text};
use super::http::{self, Refusal, join};
use super::print::table::{Printer, Table};
use super::print::{Output, Structured};
use super::resource::{Object, Resource};
use super::select::{Source, taken_apart};

/// One event, as a line of JSON brings it.
pub struct Event {
    /// ADDED, MODIFIED, DELETED.
    pub kind: String,
    pub object: Value,
}

/// What is there, then what changes, until the server ends it.
pub async fn run(client: &Client, args: &Args, source: &Source) -> anyhow::Result<ExitCode> {
    let as_table = matches!(args.output, None | Some(Output::Wide)) && args.server_print;
    let accept = if as_table { http::TABLE } else { http::JSON };
    let resource = source.resource();
    let mut screen = Screen::new(args, resource);
    let url = match source {
        Source::List { url, .. } => url.clone(),
        Source::One { name, .. } => {
            // It has to be there.
            http::get(client, source.url()).await?;
            one_of(args, resource, name)
        }
    };
    // Even of one object: the version that a watch goes on from is the list's, and not the object's,
    // which the server may have forgotten.
    let now = http::get_as(client, &url, accept).await?;
    let version = now["metadata"]["resourceVersion"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    if !args.watch_only {
        screen.first(now)?;
    }
    let mut events = Box::pin(events(client, &url, &version, accept).await?);
    while let Some(event) = events.next().await {
        screen.show(event?)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn one_of(args: &Args, resource: &Resource, name: &str) -> String {
    let collection = args.choice.scope.collection(resource);
    format!(
        "{collection}?fieldSelector=metadata.name%3D{}",
        super::resource::escape(name)
    )
}

/// What happens to the objects of a list after `version`.
///
/// # Errors
/// The server refuses, at once or later: the version may be too old for it.
pub async fn events(
    client: &Client,
    url: &str,
    version: &str,
    accept: &str,
) -> anyhow::Result<impl futures::Stream<Item = anyhow::Result<Event>> + use<>> {
    let url = format!("{url}{}watch=true&resourceVersion={version}", join(url));
    let lines = http::stream(client, &url, accept).await?.lines();
    Ok(lines.map(|line| {
        let mut event: Value = serde_json::from_str(&line?)?;
        let object = event["object"].take();
        match event["type"].as_str() {
            Some("ERROR") => match serde_json::from_value::<Status>(object) {
                Ok(status) => Err(Refusal(status).into()),
                Err(_) => bail!("the watch failed, and the server does not say why"),
            },
            kind => Ok(Event {
                kind: kind.unwrap_or_default().to_owned(),
                object,
            }),
        }
    }))
}

struct Screen<'a> {
    args: &'a Args,
    resource: Rc<Resource>,
    printer: Printer,
    printed: usize,
}

impl<'a> Screen<'a> {
    fn new(args: &'a Args, resource: &Rc<Resource>) -> Screen<'a> {
        let with_namespace = args.choice.scope.all_namespaces && resource.namespaced;
        let prefix = args.show_kind.then(|| resource.slashed(""));
        Screen {
            args,
            resource: Rc::clone(resource),
            printer: Printer::new(args.extras(), with_namespace, prefix),
            printed: 0,
        }
    }

    fn first(&mut self, now: Value) -> anyhow::Result<()> {
        let added = |object| Event {
            kind: "ADDED".to_owned(),
            object,
        };
        let as_table = matches!(self.args.output, None | Some(Output::Wide));
        if as_table {
            return self.show(added(now));
        }
        for object in taken_apart(&self.resource, now) {
            self.show(added(object.value))?;
        }
        Ok(())
    }

    fn show(&mut self, event: Event) -> anyhow::Result<()> {
        let Event { kind, object } = event;
        let text = match &self.args.output {
            None | Some(Output::Wide) => {
                self.printer.add(Table::of(object)?, &kind);
                self.printer.flush()
            }
            Some(Output::Name) => {
                let value = object;
                let resource = Rc::clone(&self.resource);
                Object { resource, value }.slashed() + "\n"
            }
            Some(Output::Structured(form)) => {
                let between = matches!(form, Structured::Yaml) && self.printed > 0;
                let text = text(self.args, form, object)?;
                if between {
                    format!("---\n{text}")
                } else {
                    text
                }
            }
        };
        self.printed += 1;
        print!("{text}");
        Ok(())
    }
}
