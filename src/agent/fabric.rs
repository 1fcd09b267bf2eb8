//! This node's part of the fabric: look, plan, apply.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use tracing::{info, warn};

use crate::kernel::linux::Linux;
use crate::kernel::{Kernel, KernelError};
use crate::model::{LinkName, NodeCidrs, NodeName, Slot};
use crate::plan::{Complaint, Desired, NodeConfig, Observed, Peer, desired, diff};

/// How long a link may be without a commit before it counts as left behind.
const IN_FLIGHT_GRACE: Duration = Duration::from_secs(10);

pub struct Fabric {
    kernel: Linux,
    bridge: LinkName,
    node_addresses: Vec<IpAddr>,
    static_neighbours: bool,
    in_flight: BTreeMap<Slot, Instant>,
    complaints: Vec<Complaint>,
    /// What the kernel refused at the last pass; it is said once.
    refused: BTreeSet<String>,
}

/// What one pass came to.
pub struct Pass {
    /// As it was before the plan was applied.
    pub observed: Observed,
    /// The first step that the kernel refused.
    pub failed: Option<KernelError>,
}

impl Fabric {
    pub fn new(
        kernel: Linux,
        bridge: LinkName,
        node_addresses: Vec<IpAddr>,
        static_neighbours: bool,
    ) -> Fabric {
        Fabric {
            kernel,
            bridge,
            node_addresses,
            static_neighbours,
            in_flight: BTreeMap::new(),
            complaints: Vec::new(),
            refused: BTreeSet::new(),
        }
    }

    pub fn observe(&self) -> Result<Observed, KernelError> {
        self.kernel.observe(&self.node_addresses)
    }

    /// Bring the kernel to what `cidrs` and `peers` ask for.
    pub fn reconcile(
        &mut self,
        node: &NodeName,
        cidrs: &NodeCidrs,
        peers: &[Peer],
        now: Instant,
    ) -> Result<Pass, KernelError> {
        let pass = self.try_reconcile(node, cidrs, peers, now);
        if let Err(error) = &pass {
            self.say_refused(BTreeSet::from([error.to_string()]));
        }
        pass
    }

    fn try_reconcile(
        &mut self,
        node: &NodeName,
        cidrs: &NodeCidrs,
        peers: &[Peer],
        now: Instant,
    ) -> Result<Pass, KernelError> {
        let observed = self.observe()?;
        let Some(uplink) = observed.uplink.clone() else {
            let addresses: Vec<String> =
                self.node_addresses.iter().map(IpAddr::to_string).collect();
            let step = format!(
                "find the link with address {} on {node}",
                addresses.join(" or ")
            );
            return Err(KernelError::new(step, nix::errno::Errno::ENODEV));
        };
        let config = NodeConfig {
            bridge: self.bridge.clone(),
            cidrs: cidrs.clone(),
            uplink,
            static_neighbours: self.static_neighbours,
        };
        let (mut wanted, complaints) = desired(&config, peers);
        wanted.expired = self.expired(&observed, now);
        for complaint in complaints.iter().filter(|c| !self.complaints.contains(c)) {
            warn!("{complaint}");
        }
        self.complaints = complaints;
        let failed = self.apply(&wanted, &observed);
        Ok(Pass { observed, failed })
    }

    /// Take away everything that is ours.
    pub fn withdraw(&mut self) -> Result<(), KernelError> {
        let observed = self.observe()?;
        self.apply(&Desired::default(), &observed)
            .map_or(Ok(()), Err)
    }

    /// Goes on after a refusal: the steps that remain may be of use without it,
    /// and the next pass starts from what is there.
    fn apply(&mut self, wanted: &Desired, observed: &Observed) -> Option<KernelError> {
        let mut failed = None;
        let mut refused = BTreeSet::new();
        for op in diff(wanted, observed) {
            match self.kernel.apply(&op) {
                Ok(()) => info!("{op}"),
                Err(error) => {
                    refused.insert(format!("{op}: {error}"));
                    failed = failed.or(Some(error));
                }
            }
        }
        self.say_refused(refused);
        failed
    }

    fn say_refused(&mut self, refused: BTreeSet<String>) {
        for new in refused.difference(&self.refused) {
            warn!("{new}");
        }
        self.refused = refused;
    }

    fn expired(&mut self, observed: &Observed, now: Instant) -> BTreeSet<Slot> {
        let open: BTreeSet<Slot> = observed
            .ports
            .iter()
            .filter(|(_, port)| port.pod.is_none())
            .map(|(slot, _)| *slot)
            .collect();
        self.in_flight.retain(|slot, _| open.contains(slot));
        for slot in &open {
            self.in_flight.entry(*slot).or_insert(now);
        }
        let old = |since: &Instant| now.duration_since(*since) >= IN_FLIGHT_GRACE;
        self.in_flight
            .iter()
            .filter(|(_, since)| old(since))
            .map(|(slot, _)| *slot)
            .collect()
    }
}
