//! `podnet get`.

use std::process::ExitCode;

use anyhow::bail;
use kube::Client;
use serde_json::Value;

use super::failure::Failures;
use super::print::jsonpath::Template;
use super::print::table::{Extras, Printer, Table};
use super::print::{Output, Structured, list_of};
use super::resource::{Catalog, Object};
use super::select::{ChoiceArg, Source};
use super::{ClusterArg, http, sort, watch};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub(super) cluster: ClusterArg,
    /// What to list, such as pods or pods,nodes or all; then names, if any; or RESOURCE/NAME
    #[arg(required_unless_present = "filename", value_name = "RESOURCE [NAME]")]
    words: Vec<String>,
    #[command(flatten)]
    pub(super) choice: ChoiceArg,
    /// wide, name, json, yaml, jsonpath=TEMPLATE, jsonpath-as-json=TEMPLATE, custom-columns=SPEC
    #[arg(short, long, value_name = "FORMAT")]
    pub(super) output: Option<Output>,
    /// Leave the table's first line out
    #[arg(long)]
    no_headers: bool,
    /// A column with all labels
    #[arg(long)]
    show_labels: bool,
    /// A column for each of these labels
    #[arg(short = 'L', long, value_name = "LABEL", value_delimiter = ',')]
    label_columns: Vec<String>,
    /// A path to sort by: .metadata.creationTimestamp
    #[arg(long, value_name = "PATH", value_parser = Template::relaxed)]
    sort_by: Option<Template>,
    /// No word of what is not there
    #[arg(long)]
    ignore_not_found: bool,
    /// Show who owns which field, in JSON and YAML
    #[arg(long)]
    show_managed_fields: bool,
    /// Go on with what changes
    #[arg(short, long)]
    watch: bool,
    /// Only what changes from now on
    #[arg(long)]
    pub(super) watch_only: bool,
    /// A column for what happened to it, with --watch
    #[arg(long)]
    pub(super) output_watch_events: bool,
}

impl Args {
    pub(super) fn extras(&self) -> Extras {
        Extras {
            wide: matches!(self.output, Some(Output::Wide)),
            no_headers: self.no_headers,
            show_labels: self.show_labels,
            label_columns: self.label_columns.clone(),
            event_column: self.output_watch_events && self.watches(),
        }
    }

    fn watches(&self) -> bool {
        self.watch || self.watch_only
    }
}

pub async fn run(client: &Client, args: &Args) -> anyhow::Result<ExitCode> {
    let catalog = Catalog::discover(client).await?;
    let sources = args.choice.of(&args.words, true).sources(&catalog)?;
    if args.watches() {
        return match &sources[..] {
            [one] => watch::run(client, args, one).await,
            _ => bail!("you may only specify a single resource type, or one object, to watch"),
        };
    }
    match &args.output {
        None | Some(Output::Wide) => print_tables(client, args, &sources).await?,
        Some(output) => print_objects(client, args, output, &sources).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn print_tables(client: &Client, args: &Args, sources: &[Source]) -> anyhow::Result<()> {
    let mut failures = Failures::default();
    let mut tables: Vec<(&Source, Table)> = Vec::new();
    for source in sources {
        if let Some(table) = failures.keep(table(client, args, source).await) {
            tables.push((source, table));
        }
        forgive(args, &mut failures);
    }
    let several = sources
        .iter()
        .any(|source| source.resource() != sources[0].resource());
    let mut printed = false;
    let mut rest = tables.into_iter().peekable();
    while let Some((source, table)) = rest.next() {
        let resource = source.resource();
        let prefix = several.then(|| resource.slashed(""));
        let with_namespace = args.choice.scope.all_namespaces && resource.namespaced;
        let mut printer = Printer::new(args.extras(), with_namespace, prefix);
        printer.add(table, "");
        while let Some((_, more)) = rest.next_if(|(next, _)| next.resource() == resource) {
            printer.add(more, "");
        }
        let text = printer.flush();
        if text.is_empty() {
            continue;
        }
        if printed && !args.no_headers {
            println!();
        }
        print!("{text}");
        printed = true;
    }
    let all_in_one = !args.choice.scope.all_namespaces
        && sources.iter().all(|source| source.resource().namespaced);
    if !printed && failures.are_none() && !args.ignore_not_found {
        match all_in_one {
            true => eprintln!(
                "No resources found in {} namespace.",
                args.choice.scope.namespace()
            ),
            false => eprintln!("No resources found"),
        }
    }
    failures.into_result()
}

async fn table(client: &Client, args: &Args, source: &Source) -> anyhow::Result<Table> {
    let url = source.url();
    let url = match &args.sort_by {
        // Sorted by fields that no column has.
        Some(_) => format!("{url}{}includeObject=Object", join(url)),
        None => url.to_owned(),
    };
    let answer = http::get_as(client, &url, http::TABLE).await?;
    let mut table: Table = serde_json::from_value(answer)?;
    if let Some(path) = &args.sort_by {
        sort::by(path, &mut table.rows, |row| &row.object)?;
    }
    Ok(table)
}

/// What comes between a URL and one more parameter.
pub(super) fn join(url: &str) -> char {
    if url.contains('?') { '&' } else { '?' }
}

/// Who said so does not want to hear of what is not there.
fn forgive(args: &Args, failures: &mut Failures) {
    if args.ignore_not_found {
        failures.forgive(http::is_not_found);
    }
}

async fn print_objects(
    client: &Client,
    args: &Args,
    output: &Output,
    sources: &[Source],
) -> anyhow::Result<()> {
    let mut failures = Failures::default();
    let mut objects: Vec<Object> = Vec::new();
    let single = matches!(sources, [Source::One { .. }]);
    for source in sources {
        objects.extend(
            failures
                .keep(source.fetch(client).await)
                .into_iter()
                .flatten(),
        );
        forgive(args, &mut failures);
    }
    if let Some(path) = &args.sort_by {
        sort::by(path, &mut objects, |object| &object.value)?;
    }
    match output {
        _ if single && objects.is_empty() => {}
        Output::Structured(form) => {
            let shown = match single {
                true => objects.remove(0).value,
                false => list_of(objects),
            };
            print!("{}", text(args, form, shown)?);
        }
        Output::Name | Output::Wide => {
            for object in &objects {
                println!("{}", object.slashed());
            }
        }
    }
    failures.into_result()
}

pub(super) fn text(args: &Args, form: &Structured, shown: Value) -> anyhow::Result<String> {
    form.shown(shown, args.show_managed_fields, !args.no_headers)
}
