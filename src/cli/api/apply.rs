//! `podnet apply`: the server does it, whichever way it was asked for.
//!
//! It knows who set which field (server-side apply), so that nothing has to be kept in an
//! annotation. `kubectl apply` overrules everybody and `kubectl apply --server-side` is stopped by
//! a conflict; so do the two forms here. Both act as field manager `kubectl`, and take over what
//! an earlier `kubectl apply` had set: what left the file goes, whichever tool wrote it.

use std::process::ExitCode;
use std::rc::Rc;

use anyhow::{Context, bail};
use kube::Client;
use kube::core::Status;
use serde_json::{Map, Value, json};

use super::failure::{Failures, when};
use super::going::GoingArg;
use super::http::{self, Refusal};
use super::manifest::{FileArg, Resolved, selected};
use super::print::SayArg;
use super::prune::{self, Applied, PruneArg};
use super::resource::{Catalog, Object, escape};
use super::validate::ValidateArg;
use super::{ClusterArg, DryRunArg};

pub const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
const CLIENT_SIDE: &str = "kubectl-client-side-apply";

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub(super) cluster: ClusterArg,
    #[command(flatten)]
    files: FileArg,
    /// Only objects of the file with these labels
    #[arg(short = 'l', long)]
    selector: Option<String>,
    /// Where objects go that name no namespace [default: default]
    #[arg(short, long)]
    namespace: Option<String>,
    /// Stop where somebody else has set a field otherwise
    #[arg(long)]
    server_side: bool,
    /// With --server-side: take such fields over
    #[arg(long, requires = "server_side")]
    force_conflicts: bool,
    /// Take fields over that somebody else has set otherwise
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1,
        default_missing_value = "true", require_equals = true)]
    overwrite: bool,
    /// Delete an object and make it anew where it cannot be changed
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    going: GoingArg,
    #[command(flatten)]
    prune: PruneArg,
    /// With --server-side: the part of the object that is set, such as status
    #[arg(long, value_name = "PART")]
    subresource: Option<String>,
    #[command(flatten)]
    validate: ValidateArg,
    /// As whom to own what the file says
    #[arg(long, value_name = "NAME", default_value = "kubectl")]
    field_manager: String,
    #[command(flatten)]
    dry_run: DryRunArg,
    #[command(flatten)]
    say: SayArg,
}

impl Args {
    fn check(&self) -> anyhow::Result<()> {
        if !self.files.is_given() {
            bail!("must specify -f FILE");
        }
        if self.force && self.server_side {
            bail!("--force cannot be used with --server-side");
        }
        if self.force && self.dry_run.is_server() {
            bail!("--dry-run=server cannot be used with --force");
        }
        if self.subresource.is_some() && !self.server_side {
            bail!("--subresource can only be specified for --server-side");
        }
        if self.prune.prune && self.server_side {
            bail!(
                "--prune is in alpha and doesn't currently work on objects created by server-side \
                 apply"
            );
        }
        self.validate.parameter()?;
        self.prune.check(self.selector.as_ref())
    }
}

/// All that can be applied is, even if some cannot: 1 then.
pub async fn run(client: &Client, args: &Args) -> anyhow::Result<ExitCode> {
    args.check()?;
    let manifests = selected(args.files.read()?, args.selector.as_ref())?;
    if manifests.is_empty() {
        bail!("no objects passed to apply");
    }
    let catalog = Catalog::discover(client).await?;
    let pruned = args.prune.resources(&catalog)?;
    let mut applied = Vec::new();
    let mut voice = args.say.voice();
    let mut failures = Failures::default();
    for manifest in manifests {
        let resolved = manifest.resolve(&catalog, args.namespace.as_deref());
        let Some(manifest) = failures.keep(resolved) else {
            continue;
        };
        match apply(client, args, &manifest).await {
            Ok((object, done)) => {
                let done = format!("{done}{}", args.dry_run.suffix());
                voice.say(&manifest.resource, &object, &done)?;
                applied.push(Object {
                    resource: manifest.resource,
                    value: object,
                });
            }
            Err(error) => failures.add(in_words(error, &manifest.source)),
        }
    }
    failures.into_result()?;
    if args.prune.prune {
        let applied = Applied {
            objects: &applied,
            selector: args.selector.as_ref(),
            field_manager: &args.field_manager,
        };
        let how = (&args.going, &args.dry_run);
        prune::run(client, &pruned, &applied, how, &mut voice).await?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A conflict comes with the way out of it.
fn in_words(error: anyhow::Error, source: &str) -> anyhow::Error {
    match error.downcast_ref::<Refusal>() {
        Some(Refusal(status)) if is_about_owners(status) => anyhow::anyhow!(
            "{}\nSomebody else has set these fields. Leave them out of {source}, give them the \
             same values, or take them over with --force-conflicts.",
            status.message
        ),
        _ => when(error, "applying", source),
    }
}

/// Other conflicts are about the version that the file names.
fn is_about_owners(status: &Status) -> bool {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    let mut reasons = causes.map(|cause| &*cause.reason);
    status.reason == "Conflict" && reasons.any(|reason| reason == "FieldManagerConflict")
}

/// The object as it is now, and what became of it.
async fn apply(
    client: &Client,
    args: &Args,
    manifest: &Resolved,
) -> anyhow::Result<(Value, &'static str)> {
    if manifest.name().is_empty() {
        bail!(
            "from {}: cannot use generate name with apply",
            manifest.source
        );
    }
    let path = manifest.path();
    let before = match http::get(client, &path).await {
        Ok(live) => Some(live),
        Err(error) if http::is_not_found(&error) => None,
        Err(error) => return Err(error),
    };
    if let (Some(live), false) = (&before, args.dry_run.is_any()) {
        take_over(client, args, &path, live).await?;
    }
    let force = args.force_conflicts || (args.overwrite && !args.server_side);
    let dry_run = if args.dry_run.is_any() {
        "&dryRun=All"
    } else {
        ""
    };
    let part = args
        .subresource
        .iter()
        .map(|part| format!("/{}", escape(part)));
    let part: String = part.collect();
    let url = format!(
        "{path}{part}?force={force}&fieldManager={}&fieldValidation={}{dry_run}",
        escape(&args.field_manager),
        args.validate.parameter()?
    );
    let after = http::patch(client, &url, http::APPLY_PATCH, &manifest.object).await;
    let after = match (after, &before) {
        (Err(error), Some(live))
            if args.force && !args.dry_run.is_any() && is_unchangeable(&error) =>
        {
            let old = Object {
                resource: Rc::clone(&manifest.resource),
                value: live.clone(),
            };
            args.going
                .replace(client, &old, &url, &manifest.object)
                .await?
        }
        (after, _) => after?,
    };
    let done = match before {
        _ if args.server_side => "serverside-applied",
        None => "created",
        Some(before) if content(&before) == content(&after) => "unchanged",
        Some(_) => "configured",
    };
    Ok((after, done))
}

/// Another object of the name may be as wanted.
fn is_unchangeable(error: &anyhow::Error) -> bool {
    let refusal = error.downcast_ref::<Refusal>();
    refusal.is_some_and(|Refusal(status)| {
        status.is_invalid() || status.reason == "Conflict" && !is_about_owners(status)
    })
}

/// An object without what only says who wrote it, and when.
fn content(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(metadata) = object["metadata"].as_object_mut() {
        for key in ["managedFields", "resourceVersion", "generation"] {
            metadata.shift_remove(key);
        }
        let annotations = metadata
            .get_mut("annotations")
            .and_then(Value::as_object_mut);
        if let Some(annotations) = annotations {
            annotations.shift_remove(LAST_APPLIED);
            if annotations.is_empty() {
                metadata.shift_remove("annotations");
            }
        }
    }
    object.sort_all_objects();
    object
}

/// What `kubectl apply` set becomes ours, as if it had been applied by us: what the file no longer
/// says would stay otherwise.
async fn take_over(client: &Client, args: &Args, path: &str, live: &Value) -> anyhow::Result<()> {
    let managers = live
        .pointer("/metadata/managedFields")
        .and_then(Value::as_array);
    let Some(taken) = managers.and_then(|managers| taken_over(managers, &args.field_manager))
    else {
        return Ok(());
    };
    let version = &live["metadata"]["resourceVersion"];
    let change = json!([
        {"op": "replace", "path": "/metadata/managedFields", "value": taken},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": version},
    ]);
    http::patch(client, path, http::JSON_PATCH, &change)
        .await
        .context("taking over what kubectl had applied")?;
    Ok(())
}

/// `None` where there is nothing to take over.
fn taken_over(managers: &[Value], name: &str) -> Option<Vec<Value>> {
    let is_whole = |entry: &Value| entry["subresource"].as_str().is_none_or(str::is_empty);
    let theirs = |entry: &&Value| {
        entry["manager"] == CLIENT_SIDE && entry["operation"] == "Update" && is_whole(entry)
    };
    let mut entry = managers.iter().find(theirs)?.clone();
    let mut left = Vec::new();
    for manager in managers {
        let ours =
            manager["manager"] == name && manager["operation"] == "Apply" && is_whole(manager);
        if ours {
            unite(&mut entry["fieldsV1"], &manager["fieldsV1"]);
        } else if !theirs(&manager) {
            left.push(manager.clone());
        }
    }
    leave_annotation(&mut entry["fieldsV1"]);
    entry["manager"] = name.into();
    entry["operation"] = "Apply".into();
    left.push(entry);
    Some(left)
}

/// The annotation of `kubectl apply` stays, for the way back: nobody owns it, nor what it stands in,
/// as the file does not say it and it would go.
fn leave_annotation(fields: &mut Value) {
    let field = format!("f:{LAST_APPLIED}");
    let Some(Value::Object(metadata)) = fields.get_mut("f:metadata") else {
        return;
    };
    if let Some(Value::Object(annotations)) = metadata.get_mut("f:annotations") {
        annotations.retain(|key, _| *key != field && key != ".");
        // One without a field in it would be owned as a whole.
        if annotations.is_empty() {
            metadata.shift_remove("f:annotations");
        }
    }
    if metadata.is_empty()
        && let Some(fields) = fields.as_object_mut()
    {
        fields.shift_remove("f:metadata");
    }
}

/// All fields of both.
fn unite(into: &mut Value, other: &Value) {
    let (Some(map), Some(other)) = (into.as_object_mut(), other.as_object()) else {
        return;
    };
    for (key, value) in other {
        unite(
            map.entry(key.clone()).or_insert_with(|| Map::new().into()),
            value,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_kubectl_applied_is_taken_over_and_all_else_left() {
        let entry = |manager: &str, operation: &str, fields: Value| json!({"manager": manager, "operation": operation, "fieldsV1": fields});
        let status =
            json!({"manager": CLIENT_SIDE, "operation": "Update", "subresource": "status"});
        let managers = [
            entry(CLIENT_SIDE, "Update", json!({"f:a": {"f:b": {}}})),
            entry("kubectl", "Apply", json!({"f:a": {"f:c": {}}, "f:d": {}})),
            entry("kubectl-edit", "Update", json!({"f:e": {}})),
            status.clone(),
        ];
        let taken = taken_over(&managers, "kubectl").expect("something to take");
        let united = json!({"f:a": {"f:b": {}, "f:c": {}}, "f:d": {}});
        assert_eq!(
            taken,
            [
                managers[2].clone(),
                status,
                entry("kubectl", "Apply", united)
            ]
        );
        assert_eq!(taken_over(&managers[1..], "kubectl"), None);

        let annotated = |others: Value| {
            let mut annotations = json!({".": {}, format!("f:{LAST_APPLIED}"): {}});
            json_patch::merge(&mut annotations, &others);
            let mut fields = json!({"f:data": {}, "f:metadata": {"f:annotations": annotations}});
            leave_annotation(&mut fields);
            fields
        };
        assert_eq!(annotated(json!({})), json!({"f:data": {}}));
        let left = json!({"f:data": {}, "f:metadata": {"f:annotations": {"f:x": {}}}});
        assert_eq!(annotated(json!({"f:x": {}})), left);
    }
}
