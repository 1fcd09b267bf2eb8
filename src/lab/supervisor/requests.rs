//! Answers to what comes over the control socket.

use std::fs::File;
use std::os::fd::OwnedFd;

use crate::lab::control::{NamespaceKind, NodeStatus, Place, Reply, Request, Status};
use crate::lab::topology::{Lab, TopologyError};
use crate::model::{NodeName, PodName};

use super::events::{Answer, Question};
use super::{Supervisor, SupervisorError};

impl Supervisor {
    pub fn answer(&mut self, question: Question) {
        let Question { request, answer } = question;
        let result = self.carry_out(request).unwrap_or_else(|error| Answer {
            reply: Reply::Refused(crate::lab::chain(&error)),
            descriptors: Vec::new(),
        });
        // Who asked may have gone; what was done stays done.
        let _ = answer.send(result);
    }

    fn carry_out(&mut self, request: Request) -> Result<Answer, SupervisorError> {
        let reply = match request {
            Request::Status => Reply::Status(Box::new(self.status())),
            Request::Converge { lab } => {
                let wanted = Lab::resolve(&lab)?.nodes;
                Reply::Changed(self.converge(wanted)?)
            }
            Request::AddNode { node } => {
                let spec = self.lab.admit(node)?;
                Reply::Changed(self.add_node(spec)?)
            }
            Request::RemoveNode { name } => {
                let name = NodeName::new(&name).map_err(TopologyError::from)?;
                Reply::Changed(self.remove_node(&name)?)
            }
            Request::Namespaces { of } => return self.namespaces(&of),
            Request::Boot { .. } | Request::Stop => {
                Reply::Refused("this is not asked of a lab that runs".to_owned())
            }
        };
        Ok(Answer {
            reply,
            descriptors: Vec::new(),
        })
    }

    fn status(&self) -> Status {
        let node = |node: &super::Node| NodeStatus {
            addresses: node
                .site
                .addresses
                .iter()
                .map(|address| address.ip().to_string())
                .collect(),
            agent: node.agent.status(),
        };
        Status {
            lab: self.lab.to_file(),
            api_port: self.lab.api_port,
            server: self.server.status(),
            nodes: self
                .nodes
                .iter()
                .map(|(name, found)| (name.to_string(), node(found)))
                .collect(),
        }
    }

    fn namespaces(&self, place: &Place) -> Result<Answer, SupervisorError> {
        use NamespaceKind::{Ipc, Mnt, Net, Pid, User, Uts};
        let open = |path: String| {
            let opened = File::open(path).map(OwnedFd::from);
            opened.map_err(|source| SupervisorError::Namespace { source })
        };
        let mine = |name: &str| open(format!("/proc/self/ns/{name}"));
        let mut found = Vec::with_capacity(6);
        found.push((User, mine("user")?));
        found.push((Mnt, mine("mnt")?));
        found.push((Pid, mine("pid")?));
        match place {
            Place::Underlay => {
                found.push((Net, mine("net")?));
                found.push((Uts, mine("uts")?));
                found.push((Ipc, mine("ipc")?));
            }
            Place::Node { name } => {
                let name = NodeName::new(name).map_err(TopologyError::from)?;
                let node = self.nodes.get(&name);
                let site = &node.ok_or(SupervisorError::NoSuchNode(name))?.site;
                let copy = |file: &File| {
                    let copied = file.try_clone().map(OwnedFd::from);
                    copied.map_err(|source| SupervisorError::Namespace { source })
                };
                found.push((Net, copy(&site.net)?));
                found.push((Uts, copy(&site.uts)?));
                found.push((Ipc, mine("ipc")?));
            }
            Place::Pod { namespace, name } => {
                let pid = self.pod_pid(&PodName::new(namespace, name))?;
                found.push((Net, open(format!("/proc/{pid}/ns/net"))?));
                found.push((Uts, open(format!("/proc/{pid}/ns/uts"))?));
                found.push((Ipc, open(format!("/proc/{pid}/ns/ipc"))?));
            }
        }
        let (kinds, descriptors) = found.into_iter().unzip();
        Ok(Answer {
            reply: Reply::Namespaces(kinds),
            descriptors,
        })
    }

    fn pod_pid(&self, pod: &PodName) -> Result<i32, SupervisorError> {
        for node in self.nodes.keys() {
            let sandboxes = self.sandboxes(node)?;
            if let Some(found) = sandboxes.into_iter().find(|found| found.pod == *pod) {
                return Ok(found.pid);
            }
        }
        Err(SupervisorError::NoSuchPod(pod.clone()))
    }
}
