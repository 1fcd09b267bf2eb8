//! Waiting for nodes to become ready, and saying why they do not.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::IsTerminal;
use std::path::Path;
use std::pin::pin;
use std::time::{Duration, Instant};

use anyhow::bail;
use futures::StreamExt;
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, NodeCondition};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, ResourceExt};

use crate::lab::LabDir;
use crate::lab::control::{ServiceStatus, Status};
use crate::model::NodeName;

/// How often the supervisor is asked whether something keeps dying.
const LOOK_FOR_TROUBLE: Duration = Duration::from_millis(500);
/// What died this often will not come up by waiting.
const HOPELESS_RESTARTS: u32 = 5;
/// After a watch that failed, before the next.
const RECONNECT: Duration = Duration::from_millis(10);
const TAIL_LINES: usize = 10;

pub struct Wait<'a> {
    pub dir: &'a LabDir,
    pub client: &'a Client,
    /// Conditions from before it are of an earlier life of the lab.
    pub since: Option<Timestamp>,
    pub deadline: Instant,
}

impl Wait<'_> {
    /// Returns when every one of `names` is ready.
    ///
    /// # Errors
    /// Says of each that is not, what its Ready condition says and how its log
    /// ends; or how the server's log ends, if that keeps dying.
    pub async fn nodes(&self, names: BTreeSet<String>) -> anyhow::Result<()> {
        let progress = Progress::new(names.len());
        let mut waiting: BTreeMap<String, Option<NodeCondition>> =
            names.into_iter().map(|name| (name, None)).collect();
        let nodes: Api<Node> = Api::all(self.client.clone());
        let mut changes = pin!(watcher(nodes, watcher::Config::default()));
        let mut look = tokio::time::interval(LOOK_FOR_TROUBLE);
        let before = self.status().await?;
        while !waiting.is_empty() {
            tokio::select! {
                change = changes.next() => match change {
                    Some(Ok(Event::Apply(node) | Event::InitApply(node))) => {
                        self.note(&node, &mut waiting, &progress);
                    }
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => tokio::time::sleep(RECONNECT).await,
                },
                _ = look.tick() => self.fail_if_hopeless(&waiting, &before).await?,
                () = tokio::time::sleep_until(self.deadline.into()) => {
                    bail!(self.overdue(&waiting));
                }
            }
        }
        progress.finish();
        Ok(())
    }

    fn note(
        &self,
        node: &Node,
        waiting: &mut BTreeMap<String, Option<NodeCondition>>,
        progress: &Progress,
    ) {
        let name = node.name_any();
        let condition = ready_condition(node).cloned();
        let is_ready = condition.as_ref().is_some_and(|ready| {
            ready.status == "True" && self.since.is_none_or(|since| is_from(ready, since))
        });
        if !is_ready {
            if let Some(seen) = waiting.get_mut(&name) {
                *seen = condition;
            }
        } else if waiting.remove(&name).is_some() {
            progress.one_more(&name);
        }
    }

    /// What keeps dying is told at once, not at the deadline.
    async fn fail_if_hopeless(
        &self,
        waiting: &BTreeMap<String, Option<NodeCondition>>,
        before: &Status,
    ) -> anyhow::Result<()> {
        let status = self.status().await?;
        let keeps_dying = |now: &ServiceStatus, before: Option<&ServiceStatus>| {
            let restarts = before.map_or(0, |service| service.restarts);
            now.restarts.saturating_sub(restarts) >= HOPELESS_RESTARTS
        };
        if keeps_dying(&status.server, Some(&before.server)) {
            bail!(
                "the API server does not start ({}); the end of {}:\n{}",
                status.server.last_exit.unwrap_or_default(),
                self.dir.server_log().display(),
                tail(&self.dir.server_log())
            );
        }
        for (name, node) in &status.nodes {
            let earlier = before.nodes.get(name).map(|node| &node.agent);
            if waiting.contains_key(name) && keeps_dying(&node.agent, earlier) {
                bail!(
                    "the agent of node {name} does not start ({}); {}",
                    node.agent.last_exit.as_deref().unwrap_or_default(),
                    self.end_of_log(name)
                );
            }
        }
        Ok(())
    }

    async fn status(&self) -> anyhow::Result<Status> {
        let dir = self.dir.clone();
        Ok(tokio::task::spawn_blocking(move || Status::ask(&dir)).await??)
    }

    fn overdue(&self, waiting: &BTreeMap<String, Option<NodeCondition>>) -> String {
        let mut text = format!("{} of the nodes did not become ready", waiting.len());
        for (name, condition) in waiting {
            let why = match condition {
                None => "it never registered; is the API server up? see server.log".to_owned(),
                Some(ready) => format!(
                    "{}: {}",
                    ready.reason.as_deref().unwrap_or("no reason"),
                    ready.message.as_deref().unwrap_or("no message")
                ),
            };
            text.push_str(&format!("\n{name}: {why}; {}", self.end_of_log(name)));
        }
        text
    }

    fn end_of_log(&self, node: &str) -> String {
        match NodeName::new(node) {
            Ok(node) => {
                let log = self.dir.agent_log(&node);
                format!("the end of {}:\n{}", log.display(), tail(&log))
            }
            Err(_) => String::new(),
        }
    }
}

pub fn ready_condition(node: &Node) -> Option<&NodeCondition> {
    let conditions = node.status.as_ref()?.conditions.as_ref()?;
    conditions
        .iter()
        .find(|condition| condition.type_ == "Ready")
}

/// Kubernetes' times have whole seconds.
fn is_from(condition: &NodeCondition, since: Timestamp) -> bool {
    let heartbeat = condition.last_heartbeat_time.as_ref();
    heartbeat.is_some_and(|time| time.0.as_second() >= since.as_second())
}

fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_else(|error| error.to_string());
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(TAIL_LINES);
    let indented = lines[from..].iter().map(|line| format!("    {line}"));
    indented.collect::<Vec<_>>().join("\n")
}

/// A bar on a terminal, a line per node elsewhere.
struct Progress(Option<ProgressBar>);

impl Progress {
    fn new(count: usize) -> Progress {
        if !std::io::stderr().is_terminal() {
            return Progress(None);
        }
        let bar = ProgressBar::new(count as u64);
        let style = ProgressStyle::with_template("{spinner} {pos}/{len} nodes ready {wide_msg}");
        if let Ok(style) = style {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(100));
        Progress(Some(bar))
    }

    fn one_more(&self, name: &str) {
        match &self.0 {
            Some(bar) => {
                bar.set_message(name.to_owned());
                bar.inc(1);
            }
            None => eprintln!("{name} is ready"),
        }
    }

    fn finish(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
