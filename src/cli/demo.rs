//! `podnet demo`: a tour in which every step is a command that a user can type.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::{ExitCode, ExitStatus};
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use anyhow::{Context, bail};
use tokio::process::Command;

use crate::cluster;
use crate::lab::LabDir;
use crate::lab::topology::LabName;
use crate::model::NodeName;

use super::client::runtime;
use super::output::print_colored;

const NODES: usize = 3;
const PODS: [&str; 4] = ["web", "api", "db", "cache"];
const IMAGE: &str = "--image=luksa/kubia";
const RESTART_WITHIN: Duration = Duration::from_secs(10);
const REPAIR_WITHIN: Duration = Duration::from_secs(5);
const PODS_WITHIN: Duration = Duration::from_secs(30);

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the lab that the tour makes and takes down
    #[arg(long, default_value = "demo", value_name = "NAME")]
    lab: String,
    /// Wait for Enter before each step
    #[arg(long)]
    pause: bool,
}

/// 0 if every step did what it shows; the lab is taken down in any case.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let name = LabName::new(&args.lab)?;
    let dir = LabDir::new(&name);
    if dir.is_live()? {
        bail!("lab {name} is up already; `podnet down --lab {name}` first, or give --lab another");
    }
    let tour = Tour {
        podnet: std::env::current_exe()?,
        lab: args.lab.clone(),
        pause: args.pause && std::io::stdin().is_terminal(),
    };
    let runtime = runtime()?;
    let toured = runtime.block_on(async {
        let toured = tokio::select! {
            toured = tour.steps(&dir) => toured,
            _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
        };
        let down = match &toured {
            Ok(()) => {
                tour.step("Take it all down: nothing is left", &["down"])
                    .await
            }
            // Nobody is asked once something went wrong.
            Err(_) => tour.podnet(&["down"]).await,
        };
        toured.and(down)
    });
    // A read of the terminal that was interrupted would hold up a plain drop.
    runtime.shutdown_background();
    toured?;
    Ok(ExitCode::SUCCESS)
}

struct Tour {
    podnet: PathBuf,
    lab: String,
    pause: bool,
}

impl Tour {
    async fn steps(&self, dir: &LabDir) -> anyhow::Result<()> {
        let nodes = NODES.to_string();
        self.step(
            "Three nodes, each with a range of its own",
            &["up", "--nodes", &nodes],
        )
        .await?;
        self.say("Pods, spread over the nodes").await?;
        for pod in PODS {
            self.podnet(&["run", pod, IMAGE]).await?;
        }
        let placed = self.placed(dir).await?;
        self.podnet(&["get", "pods", "-o", "wide"]).await?;
        for n in 1..=NODES {
            let node = format!("node-{n}");
            let title = format!("{node}: a route to every other node's range, a port per pod");
            self.say(&title).await?;
            self.podnet(&["shell", &node, "--", "ip", "route"]).await?;
            self.podnet(&["shell", &node, "--", "bridge", "link"])
                .await?;
        }
        let (from, (to, address)) = across(&placed)?;
        let title = format!("From pod {from} to pod {to} on another node");
        self.step(
            &title,
            &["shell", from, "--", "ping", "-c", "3", "-i", "0.2", address],
        )
        .await?;
        self.step(
            "Every pair of pods and nodes, ICMP and TCP, and the invariants",
            &["check"],
        )
        .await?;
        self.restart(dir, from).await?;
        self.repair(dir).await
    }

    /// End what runs in a pod, and show that it runs again, at the same address.
    async fn restart(&self, dir: &LabDir, pod: &str) -> anyhow::Result<()> {
        self.say("End what runs in a pod: it is started again, at the same address")
            .await?;
        self.podnet(&["logs", pod]).await?;
        self.podnet(&["exec", pod, "--", "sh", "-c", "kill -TERM 1"])
            .await?;
        let client = cluster::connect(&dir.kubeconfig()).await?;
        let restarted = async {
            loop {
                let pods = cluster::list_pods(&client).await?;
                let found = pods.iter().find(|found| found.pod.name == pod);
                if found.is_some_and(|found| found.restarts() > 0) {
                    return anyhow::Ok(());
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(RESTART_WITHIN, restarted)
            .await
            .with_context(|| format!("pod {pod} was not started again"))??;
        self.podnet(&["get", "pods", pod, "-o", "wide"]).await
    }

    /// Delete a route behind the agent's back, and show what the agent did.
    async fn repair(&self, dir: &LabDir) -> anyhow::Result<()> {
        let node = NodeName::new("node-1")?;
        let peer = "10.244.1.0/24";
        self.say("Delete a route behind the agent's back: it comes back")
            .await?;
        let log = dir.agent_log(&node);
        let before = std::fs::read_to_string(&log)?.len();
        self.podnet(&["shell", node.as_str(), "--", "ip", "route", "delete", peer])
            .await?;
        let put_back = async {
            loop {
                let text = std::fs::read_to_string(&log)?;
                let wanted = format!("ip route add {peer}");
                let mut news = text.get(before..).unwrap_or_default().lines();
                if let Some(line) = news.find(|line| line.contains(&wanted)) {
                    return anyhow::Ok(line.to_owned());
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let line = tokio::time::timeout(REPAIR_WITHIN, put_back)
            .await
            .with_context(|| format!("the route to {peer} did not come back"))??;
        println!("from {}:\n{line}", log.display());
        self.podnet(&["shell", node.as_str(), "--", "ip", "route"])
            .await
    }

    async fn step(&self, title: &str, arguments: &[&str]) -> anyhow::Result<()> {
        self.say(title).await?;
        self.podnet(arguments).await
    }

    async fn say(&self, title: &str) -> anyhow::Result<()> {
        let bold = Style::new().bold();
        print_colored(format_args!("\n{bold}# {title}{bold:#}\n"));
        if self.pause {
            print!("  (Enter goes on) ");
            let enter = || std::io::stdin().read_line(&mut String::new());
            tokio::task::spawn_blocking(enter).await??;
        }
        Ok(())
    }

    async fn podnet(&self, arguments: &[&str]) -> anyhow::Result<()> {
        let (verb, rest) = arguments.split_first().context("a command has a verb")?;
        let green = Style::new().fg_color(Some(AnsiColor::Green.into()));
        let quoted: Vec<String> = rest.iter().map(|word| quote(word)).collect();
        let shown = format!("podnet {verb} --lab {} {}", self.lab, quoted.join(" "));
        print_colored(format_args!("{green}$ {}{green:#}\n", shown.trim_end()));
        let status: ExitStatus = Command::new(&self.podnet)
            .args([verb, "--lab", &self.lab])
            .args(rest)
            .kill_on_drop(true)
            .status()
            .await?;
        if !status.success() {
            bail!("`{shown}` ended with {status}");
        }
        Ok(())
    }

    /// Name, node and address of every pod, once all of them run.
    async fn placed(&self, dir: &LabDir) -> anyhow::Result<Vec<(String, String, String)>> {
        let client = cluster::connect(&dir.kubeconfig()).await?;
        let all = async {
            loop {
                let pods = cluster::list_pods(&client).await?;
                let running = pods.iter().filter(|pod| pod.phase == "Running");
                let placed: Vec<_> = running
                    .filter_map(|pod| {
                        let address = pod.address?.to_string();
                        Some((pod.pod.name.clone(), pod.node.clone()?, address))
                    })
                    .collect();
                if placed.len() == PODS.len() {
                    return anyhow::Ok(placed);
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PODS_WITHIN, all)
            .await
            .with_context(|| format!("pods do not run after {} s", PODS_WITHIN.as_secs()))?
    }
}

/// A pod, and one on another node with its address.
fn across(placed: &[(String, String, String)]) -> anyhow::Result<(&str, (&str, &str))> {
    let (from, on, _) = placed.first().context("there are pods")?;
    let elsewhere = placed.iter().find(|(_, node, _)| node != on);
    let (to, _, address) = elsewhere.context("all pods are on one node")?;
    Ok((from, (to, address)))
}

fn quote(word: &str) -> String {
    match word.contains(|c: char| c.is_whitespace() || "\"'$;|".contains(c)) {
        true => format!("'{}'", word.replace('\'', r"'\''")),
        false => word.to_owned(),
    }
}
