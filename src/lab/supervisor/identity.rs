//! Who is who in a lab: certificates and the kubeconfigs that carry them.
//!
//! Made anew at every start from the lab's own authority, which stays, so that
//! what was handed out before keeps working.

use std::net::IpAddr;

use crate::cluster::kubeconfig;
use crate::cluster::pki::{Authority, Identity};
use crate::lab::state::{LabDir, make_private_dir};
use crate::lab::topology::Lab;
use crate::model::NodeName;

use super::SupervisorError;

/// Where the API server listens on the underlay.
pub const API_PORT: u16 = 6443;

pub struct Identities {
    authority: Authority,
    cluster: String,
    inside_url: String,
}

impl Identities {
    /// Loads or makes the authority, and writes what the server and the user
    /// need. `host_port` is the API's on the host's 127.0.0.1.
    pub fn prepare(dir: &LabDir, lab: &Lab, host_port: u16) -> Result<Identities, SupervisorError> {
        let gateways = lab.underlay.gateways();
        let authority = Authority::load_or_create(&dir.pki(), lab.name.as_str())?;
        let mut names: Vec<String> = [
            "127.0.0.1",
            "localhost",
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
        ]
        .map(str::to_owned)
        .to_vec();
        names.extend(gateways.iter().map(|gateway| gateway.ip().to_string()));
        authority
            .server_identity(&names)?
            .write(&dir.pki(), "server")?;
        let identities = Identities {
            authority,
            cluster: format!("podnet-{}", lab.name),
            inside_url: inside_url(gateways.first().map(|gateway| gateway.ip())),
        };
        let user = identities
            .authority
            .client_identity("podnet-admin", "system:masters")?;
        let outside_url = format!("https://127.0.0.1:{host_port}");
        identities.write(&dir.kubeconfig(), &outside_url, &user)?;
        identities.write(&dir.kubeconfig_inside(), &identities.inside_url, &user)?;
        Ok(identities)
    }

    /// Writes the kubeconfig that the node's agent starts with.
    pub fn write_node(&self, dir: &LabDir, node: &NodeName) -> Result<(), SupervisorError> {
        make_private_dir(&dir.node(node))?;
        let identity = self
            .authority
            .client_identity(&format!("system:node:{node}"), "system:nodes")?;
        self.write(&dir.node_kubeconfig(node), &self.inside_url, &identity)
    }

    fn write(
        &self,
        path: &std::path::Path,
        url: &str,
        identity: &Identity,
    ) -> Result<(), SupervisorError> {
        let ca = self.authority.certificate_pem();
        let text = kubeconfig::render(&self.cluster, url, ca, identity);
        kubeconfig::write_private(path, &text).map_err(|source| SupervisorError::Kubeconfig {
            path: path.to_owned(),
            source,
        })
    }
}

fn inside_url(gateway: Option<IpAddr>) -> String {
    match gateway {
        Some(IpAddr::V4(v4)) => format!("https://{v4}:{API_PORT}"),
        Some(IpAddr::V6(v6)) => format!("https://[{v6}]:{API_PORT}"),
        None => format!("https://127.0.0.1:{API_PORT}"),
    }
}
