//! A pod that somebody waits for: until it runs, joined to it, until it ends; gone then, if asked.

use std::process::ExitCode;

use anyhow::bail;
use kube::Client;
use kube::core::Status;
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

use super::Args;
use crate::cli::api::failure::Failures;
use crate::cli::api::follow::{follow, within};
use crate::cli::api::http::{self, Refusal};
use crate::cli::api::resource::Object;
use crate::cli::api::{exec, logs};

/// The pod comes first; the others share its fate. With --rm an interruption takes them along, which
/// kubectl forgets.
pub async fn run(client: &Client, args: &Args, made: &[Object]) -> anyhow::Result<ExitCode> {
    let pod = &made[0];
    if !args.remove {
        return until_ended(client, args, pod).await;
    }
    let ended = tokio::select! {
        ended = until_ended(client, args, pod) => ended,
        code = interrupted() => code,
    };
    let mut failures = Failures::default();
    for object in made {
        failures.keep(remove(client, args, object).await);
    }
    let code = failures.keep(ended);
    failures.into_result()?;
    Ok(code.unwrap_or(ExitCode::FAILURE))
}

/// The exit code of a program that a signal ended.
async fn interrupted() -> anyhow::Result<ExitCode> {
    let (interrupt, terminate) = (SignalKind::interrupt(), SignalKind::terminate());
    let (mut interrupts, mut terminations) = (signal(interrupt)?, signal(terminate)?);
    let kind = tokio::select! {
        _ = interrupts.recv() => interrupt,
        _ = terminations.recv() => terminate,
    };
    Ok(u8::try_from(128 + kind.as_raw_value()).map_or(ExitCode::FAILURE, ExitCode::from))
}

async fn until_ended(client: &Client, args: &Args, pod: &Object) -> anyhow::Result<ExitCode> {
    let running = until(client, args, pod, |pod| is_over(pod) || is_ready(pod)).await?;
    if is_over(&running) {
        logs::print_all(client, &running).await?;
    } else {
        let joined = exec::join(client, &running, None, args.wanted, args.quiet).await;
        if let Err(error) = joined {
            let name = pod.name();
            eprintln!(
                "warning: couldn't attach to pod/{name}, falling back to streaming logs: {error:#}"
            );
            logs::print_all(client, &running).await?;
        }
    }
    if args.leave_stdin_open || args.restart == "Always" {
        return Ok(ExitCode::SUCCESS);
    }
    let over = until(client, args, pod, is_over).await?;
    exit_code(&over)
}

/// The pod, once it is so.
///
/// # Errors
/// It is not in time, or is gone.
async fn until(
    client: &Client,
    args: &Args,
    pod: &Object,
    is_so: impl Fn(&Value) -> bool,
) -> anyhow::Result<Value> {
    let see = |now: Object| Ok(Some(now.value).filter(&is_so));
    match within(args.pod_running_timeout, follow(client, pod, see)).await? {
        Some(pod) => Ok(pod),
        None => {
            let message = format!("pods {:?} not found", pod.name());
            Err(Refusal(Status::failure(&message, "NotFound").with_code(404)).into())
        }
    }
}

fn is_over(pod: &Value) -> bool {
    matches!(
        pod["status"]["phase"].as_str(),
        Some("Succeeded" | "Failed")
    )
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    let mut conditions = conditions.into_iter().flatten();
    pod["status"]["phase"] == "Running"
        && conditions.any(|one| one["type"] == "Ready" && one["status"] == "True")
}

fn exit_code(pod: &Value) -> anyhow::Result<ExitCode> {
    if pod["status"]["phase"] == "Succeeded" {
        return Ok(ExitCode::SUCCESS);
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let name = format!(
        "{}/{}",
        text(&pod["metadata"]["namespace"]),
        text(&pod["metadata"]["name"])
    );
    let ended = &pod["status"]["containerStatuses"][0]["state"]["terminated"];
    let code = ended["exitCode"].as_i64().filter(|code| *code != 0);
    let Some(code) = code else {
        bail!("pod {name} failed with unknown exit code");
    };
    let said = format!(
        "pod {name} terminated ({})\n{}",
        text(&ended["reason"]),
        text(&ended["message"])
    );
    eprintln!("{}", said.trim_end());
    // As a shell would see it.
    Ok(u8::try_from(code & 0xff).map_or(ExitCode::FAILURE, ExitCode::from))
}

async fn remove(client: &Client, args: &Args, object: &Object) -> anyhow::Result<()> {
    let mut options = json!({
        "apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background",
    });
    let grace = args.grace_period.filter(|seconds| *seconds >= 0);
    if let Some(seconds) = grace.or(args.force.then_some(0)) {
        options["gracePeriodSeconds"] = seconds.into();
    }
    match http::delete(client, &object.path(), &options).await {
        Err(error) if http::is_not_found(&error) => return Ok(()),
        deleted => deleted?,
    };
    if !args.quiet {
        let done = if args.force {
            "force deleted"
        } else {
            "deleted"
        };
        println!("{} {:?} {done}", object.resource.qualified(), object.name());
    }
    Ok(())
}
