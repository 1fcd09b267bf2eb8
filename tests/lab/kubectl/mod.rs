//! Real kubectls against labs of real pods.
//!
//! [`story`] and [`reference`] compare what kubectl 1.32 or 1.33 prints, whole, with the files in
//! tests/golden/kubectl, of which every line was held against what Kubernetes 1.33 prints.
//! `INSTA_UPDATE=always cargo test --test lab kubectl::` makes them anew. [`oldest`] asks Debian
//! 12's kubectl 1.20 for what both have.
//!
//! What is known to differ from Kubernetes, and wanted:
//! - pods have no `kube-api-access` volume: nobody in a pod is let in by a token;
//! - images are there or not, so no container is ever `Pulling`, and image IDs are podnet's own;
//! - nodes are podnet's: versions, the runtime's name, the condition that says why a node is ready.
//!   They watch no memory, disk or PIDs, so they have no conditions for these, and no
//!   `ephemeral-storage`, huge pages, image list or `beta.kubernetes.io` labels;
//! - there are no quotas and limit ranges, of which `describe namespace` would say that there are
//!   none, no horizontal autoscalers and no metrics;
//! - controllers and nodes write no managed fields, and in those of others a map is not listed beside
//!   its entries; names of pod templates come of another hash;
//! - containers say nothing of resources and users in their status, as none are enforced; endpoints
//!   do not say when they last changed; certificates have no ID in `whoami`;
//! - no root certificate is published as a ConfigMap in every namespace.

mod mask;
mod oldest;
mod reference;
mod session;
mod story;

use std::process::Command;

use serde_json::Value;

/// Whether the machine's kubectl is one whose words are in the golden files; says so if not.
fn is_known() -> bool {
    let version = Command::new("kubectl")
        .args(["version", "--client", "-o", "json"])
        .output();
    let Ok(version) = version else {
        eprintln!("skipped: there is no kubectl on the path");
        return false;
    };
    let version: Value = serde_json::from_slice(&version.stdout).unwrap_or_default();
    let minor = version["clientVersion"]["minor"].as_str().unwrap_or("");
    let known = matches!(minor.trim_end_matches('+'), "32" | "33");
    if !known {
        let version = &version["clientVersion"]["gitVersion"];
        eprintln!("skipped: kubectl {version} words things its own way; 1.32 and 1.33 are known");
    }
    known
}
