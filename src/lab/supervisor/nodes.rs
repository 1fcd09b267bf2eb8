//! The nodes a lab has: joining, leaving, changing labels.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use crate::lab::control::Changes;
use crate::lab::state::Record;
use crate::lab::topology::{Lab, NodeSpec};
use crate::model::NodeName;
use crate::pod::{FoundSandbox, find_sandboxes};

use super::leaving::Remains;
use super::service::Service;
use super::site::Site;
use super::{Supervisor, SupervisorError};

pub struct Node {
    pub spec: NodeSpec,
    pub site: Site,
    pub agent: Service,
}

impl Supervisor {
    /// Has exactly the nodes in `wanted`, and remembers them. Idempotent; where it
    /// fails half-way it has, and remembers, the nodes that it got to. Leaving does
    /// not fail: what a node leaves behind is cleared away later if not now.
    pub fn converge(&mut self, wanted: Vec<NodeSpec>) -> Result<Changes, SupervisorError> {
        let before = self.record();
        let names: BTreeSet<&NodeName> = wanted.iter().map(|node| &node.name).collect();
        let leaving: Vec<NodeName> = self
            .nodes
            .keys()
            .filter(|name| !names.contains(name))
            .cloned()
            .collect();
        for name in &leaving {
            self.take_out(name);
        }
        self.clear_remains();
        self.positions.retain(|name, _| names.contains(name));
        let joined = wanted.iter().try_for_each(|spec| {
            match self.nodes.get_mut(&spec.name) {
                // Its agent was told the old labels; its next start tells it these.
                Some(node) => node.spec = spec.clone(),
                None => self.put_in(spec.clone())?,
            }
            Ok(())
        });
        self.lab.nodes = wanted;
        self.lab
            .nodes
            .retain(|spec| self.nodes.contains_key(&spec.name));
        self.remember()?;
        joined.map(|()| changes_since(Some(&before), &self.lab))
    }

    pub fn add_node(&mut self, spec: NodeSpec) -> Result<Changes, SupervisorError> {
        let mut wanted = self.lab.nodes.clone();
        wanted.push(spec);
        self.converge(wanted)
    }

    /// Takes the node, its agent and its pods out of the lab. Its Node object
    /// is the caller's to delete.
    pub fn remove_node(&mut self, name: &NodeName) -> Result<Changes, SupervisorError> {
        if !self.nodes.contains_key(name) {
            return Err(SupervisorError::NoSuchNode(name.clone()));
        }
        let mut wanted = self.lab.nodes.clone();
        wanted.retain(|node| node.name != *name);
        self.converge(wanted)
    }

    /// Builds the node's place. Its agent is due: the loop starts it once all
    /// places are built, for agents at work slow the kernel down for the rest.
    fn put_in(&mut self, spec: NodeSpec) -> Result<(), SupervisorError> {
        let name = spec.name.clone();
        if self.remains.iter().any(|left| left.name() == &name) {
            return Err(SupervisorError::StillLeaving(name));
        }
        let leaving = self.remains.iter().map(Remains::position);
        let position = match self.positions.get(&name) {
            Some(position) => *position,
            None => smallest_free(self.positions.values().copied().chain(leaving)),
        };
        self.identities.write_node(&self.dir, &name)?;
        let node = Node {
            site: Site::build(&self.lab, &name, position)?,
            agent: Service::new(Instant::now()),
            spec,
        };
        self.positions.insert(name.clone(), position);
        self.nodes.insert(name, node);
        Ok(())
    }

    /// The node's pods that are alive.
    pub fn sandboxes(&self, node: &NodeName) -> Result<Vec<FoundSandbox>, SupervisorError> {
        find_sandboxes(&self.dir.pods(node)).map_err(|source| SupervisorError::Pods {
            node: node.clone(),
            source,
        })
    }

    fn remember(&self) -> Result<(), SupervisorError> {
        Ok(self.dir.write_record(&self.record())?)
    }
}

/// Which nodes `lab` has and `before` had not, and the other way round.
pub fn changes_since(before: Option<&Record>, lab: &Lab) -> Changes {
    let none = Vec::new();
    let old = before.and_then(|record| record.lab.spec.nodes.as_ref());
    let old: BTreeMap<_, _> = old
        .unwrap_or(&none)
        .iter()
        .map(|entry| (entry.name.as_str(), &entry.labels))
        .collect();
    let mut changes = Changes::default();
    for node in &lab.nodes {
        match old.get(node.name.as_str()) {
            None => changes.added.push(node.name.to_string()),
            Some(labels) if **labels != node.labels => {
                changes.relabelled.push(node.name.to_string());
            }
            Some(_) => {}
        }
    }
    let is_gone = |name: &&&str| !lab.nodes.iter().any(|node| node.name.as_str() == **name);
    changes.removed = old.keys().filter(is_gone).map(|n| n.to_string()).collect();
    changes
}

/// Where the record says that nodes sat.
pub fn positions(record: &Record) -> BTreeMap<NodeName, u32> {
    let named = record.positions.iter();
    named
        .filter_map(|(name, position)| Some((NodeName::new(name).ok()?, *position)))
        .collect()
}

fn smallest_free(taken: impl Iterator<Item = u32>) -> u32 {
    let taken: BTreeSet<u32> = taken.collect();
    (0..)
        .find(|position| !taken.contains(position))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_freed_position_is_the_next_one_given() {
        assert_eq!(smallest_free([].into_iter()), 0);
        assert_eq!(smallest_free([0, 1, 3].into_iter()), 2);
        assert_eq!(smallest_free([2, 0, 1].into_iter()), 3);
    }
}
