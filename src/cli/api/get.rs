//! `podnet get`.

use std::process::ExitCode;

use anyhow::bail;
use kube::Client;
use serde_json::Value;

use super::failure::Failures;
use super::print::jsonpath::Template;
use super::print::table::{Extras, Printer, Table};
use super::print::{Output, Structured, list_of};
use super::resource::{Catalog, Object, own_name};
use super::select::{All, ChoiceArg, ChunkArg, Source};
use super::{ClusterArg, http, raw, sort, watch};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub(super) cluster: ClusterArg,
    /// What to list, such as pods or pods,nodes or all; then names, if any; or RESOURCE/NAME
    #[arg(required_unless_present_any = ["filename", "raw"], value_name = "RESOURCE [NAME]")]
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
    /// Each name with its kind: pod/web
    #[arg(long)]
    pub(super) show_kind: bool,
    /// Let the server say what columns there are; without, name and age
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1,
        default_missing_value = "true", require_equals = true)]
    pub(super) server_print: bool,
    /// A part of the object: status, scale
    #[arg(long, value_name = "PART")]
    subresource: Option<String>,
    /// A path of the API, answered as it comes
    #[arg(long, value_name = "PATH")]
    raw: Option<String>,
    #[command(flatten)]
    chunks: ChunkArg,
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
    if let Some(path) = &args.raw {
        return raw(client, args, path).await;
    }
    let catalog = Catalog::discover(client).await?;
    let mut sources = args.choice.of(&args.words, All::Yes).sources(&catalog)?;
    if let Some(part) = &args.subresource {
        sources
            .iter_mut()
            .try_for_each(|source| source.part(part))?;
    }
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

async fn raw(client: &Client, args: &Args, path: &str) -> anyhow::Result<ExitCode> {
    if !args.words.is_empty() {
        bail!("arguments may not be passed when --raw is specified");
    }
    if args.watches() || args.choice.selector.is_given() {
        bail!(
            "--raw may not be specified with other flags that filter the server request or alter \
             the output"
        );
    }
    raw::check(path, args.output.as_ref())?;
    raw::send(client, http::Method::GET, path, Vec::new()).await
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
        let prefix = (several || args.show_kind).then(|| resource.slashed(""));
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
    let (accept, parameter) = match (args.server_print, &args.sort_by) {
        // Sorted by fields that no column has.
        (true, Some(_)) => (http::TABLE, "includeObject=Object"),
        (true, None) => (http::TABLE, ""),
        (false, _) => (http::JSON, ""),
    };
    let at_a_time = args.chunks.chunk_size;
    let mut table = Table::of(source.answer(client, accept, parameter, at_a_time).await?)?;
    if let Some(path) = &args.sort_by {
        sort::by(path, &mut table.rows, |row| &row.object)?;
    }
    Ok(table)
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
                .keep(source.fetch_by(client, args.chunks.chunk_size).await)
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
                println!("{}", own_name(&object.value));
            }
        }
    }
    failures.into_result()
}

pub(super) fn text(args: &Args, form: &Structured, shown: Value) -> anyhow::Result<String> {
    form.shown(shown, args.show_managed_fields, !args.no_headers)
}
